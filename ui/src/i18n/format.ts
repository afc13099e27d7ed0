//! Numbers, sizes, durations and dates, as each language writes them.

import { language, languageTag } from "./language";

const numbers = { zh: new Intl.NumberFormat("zh-CN"), en: new Intl.NumberFormat("en-US") };

export function formatNumber(value: number): string {
  return numbers[language()].format(value);
}

/** Decimal units, as file managers show them: 3.9 GB. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 28 ms, 0.4 s, 12 s, 3 min 20 s. */
export function formatDuration(ms: number): string {
  const [milli, s, min, h] = language() === "zh" ? ["毫秒", "秒", "分", "小时"] : ["ms", "s", "min", "h"];
  if (ms > 0 && ms < 100) return `${Math.round(ms)} ${milli}`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} ${s}`;
  if (seconds < 60) return `${Math.round(seconds)} ${s}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} ${min} ${Math.round(seconds % 60)} ${s}`;
  return `${Math.floor(minutes / 60)} ${h} ${minutes % 60} ${min}`;
}

export function formatDate(ms: number): string {
  return new Intl.DateTimeFormat(languageTag(), { dateStyle: "medium", timeStyle: "short" }).format(ms);
}

/** A day as a hub writes it (ISO 8601); "" for what is no day. */
export function formatDay(iso: string): string {
  const time = Date.parse(iso);
  return Number.isNaN(time) ? "" : new Intl.DateTimeFormat(languageTag(), { dateStyle: "medium" }).format(time);
}

/** A count of which only the size matters: 1.2M, 123 万. */
export function formatShort(value: number): string {
  return new Intl.NumberFormat(languageTag(), { notation: "compact", maximumFractionDigits: 1 }).format(value);
}
