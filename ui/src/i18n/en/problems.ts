//! A sentence for every error code, filled with the problem's values. `Mend` is the word on the button that mends it.

type Values = { [key in string]?: string };

export const problems: Record<string, (v: Values) => string> = {
  internal: () => "Something went wrong inside Huacaya. The log in Settings has the details.",
};
