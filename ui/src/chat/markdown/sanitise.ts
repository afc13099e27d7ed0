//! The last gate before the page: what is not on these lists is not shown, whoever wrote it.

import DOMPurify from "dompurify";

const TAGS = [
  "p", "br", "hr", "h3", "ul", "ol", "li", "blockquote", "strong", "em", "s", "code", "pre",
  "div", "table", "thead", "tbody", "tr", "th", "td", "a", "span",
]; // prettier-ignore
/** No `style`, no `href`, no `src`: an address is text until the person agrees. */
const ATTRIBUTES = ["class", "start", "role", "tabindex", "data-url", "data-display", "data-language"];

export function sanitise(html: string): string {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOW_UNKNOWN_PROTOCOLS: false,
    KEEP_CONTENT: true,
  });
}
