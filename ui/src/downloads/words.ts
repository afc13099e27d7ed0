//! How far a job is, in one line.

import type { Job } from "$api";
import { formatBytes, m } from "$i18n";
import { kindOf, shareOf } from "../list/jobs";
import { isDownload, stageWords } from "./downloads.svelte";
import { paces } from "./paces.svelte";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** In steps as coarse as the estimate is: figures that jump about each second are noise. */
export function leftWords(ms: number): string {
  if (ms < 8 * SECOND) return m.downloads.fewSeconds;
  if (ms < 55 * SECOND) return m.downloads.seconds(Math.ceil(ms / SECOND / 5) * 5);
  const minutes = Math.max(1, Math.round(ms / MINUTE));
  if (ms < HOUR && minutes < 60) return m.downloads.minutes(minutes);
  // Beyond an hour the minutes are guesses: steps of ten.
  const tens = Math.round(ms / MINUTE / 10) * 10;
  return m.downloads.hours(Math.floor(tens / 60), tens % 60);
}

/** 42 % · 12.3 MB/s · 3 min left; or what holds it up. */
export function lineOf(job: Job): string {
  const share = shareOf(job);
  const making = isMaking(job);
  const stage = making && job.state === "running" ? makingWords(job) : stageWords(job);
  const words = [share === null ? "" : m.downloads.share(share), stage];
  if ((stage === "" || making) && job.state === "running") {
    const { rate, left } = paces.of(job.id);
    if (isDownload(job) && rate !== null) words.push(m.downloads.speed(formatBytes(rate)));
    if (left !== null) words.push(leftWords(left));
  }
  return words.filter(Boolean).join(" · ");
}

/** Work of the workshop: its stage and the time left are both worth knowing. */
function isMaking(job: Job): boolean {
  return ["make", "measure"].includes(kindOf(job));
}

function makingWords(job: Job): string {
  const [stage, ...what] = (job.stage ?? "").split(":");
  return [m.workshop.work.stages[stage!] ?? "", what.join(":").trim()].filter(Boolean).join(" ");
}

/** 1.2 of 3.9 GB: the unit once, where both share it. */
export function amountOf(done: number, total: number): string {
  const [have, all] = [formatBytes(done), formatBytes(total)];
  const [number, unit] = have.split(" ");
  return m.downloads.of(all.endsWith(` ${unit}`) ? number! : have, all);
}
