//! How long something will take, as coarsely as it is known.

import { formatNumber, m } from "$i18n";

const MINUTE = 60;
const HOUR = 60 * MINUTE;

export function timeWords(seconds: number): string {
  const words = m.workshop.out;
  if (seconds < 55) return words.seconds(Math.max(5, Math.ceil(seconds / 5) * 5));
  if (seconds < HOUR) return words.minutes(Math.round(seconds / MINUTE));
  return words.hours(formatNumber(Math.round((seconds / HOUR) * 10) / 10));
}
