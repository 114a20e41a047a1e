/** A trace: a file of arrivals, read in the browser. What is wrong with it is an Error with a sentence. */

import { HOURS } from "./plannerstate.js";

const MOST_BYTES = 32e6;
const DAY = 86400;
const MOST_DAYS = 366;

/** {name, arrivals, days}: seconds from the first day's start, in order. `most`: how many may be asked. */
export async function readTrace(file, most) {
  const instead = `Use the command: easel simulate ${file.name} --profile FILE.`;
  if (/\.parquet$/i.test(file.name)) throw new Error(`A browser cannot read Parquet. ${instead}`);
  if (!/\.(csv|txt)$/i.test(file.name)) throw new Error(`${file.name} must be a .csv file with a column seconds or time.`);
  if (file.size > MOST_BYTES) throw new Error(`${file.name} has over ${MOST_BYTES / 1e6} MB, which is too much to be dragged here. ${instead}`);
  const arrivals = parseTrace(await file.text(), file.name, most, instead);
  return { name: file.name, arrivals, days: Math.max(Math.ceil(arrivals.at(-1) / DAY), 1) };
}

function parseTrace(text, name, most, instead) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/).filter((line) => line.trim());
  const columns = cells(lines.shift() ?? "");
  const column = ["seconds", "time"].find((one) => columns.includes(one));
  if (!column) {
    const has = columns.slice(0, 8).map((one) => one.slice(0, 30)).join(", ") || "nothing";
    throw new Error(`${name} must have a column seconds (from the start) or time (timestamps) in its first line, which has ${has}.`);
  }
  if (!lines.length) throw new Error(`${name} has no arrival.`);
  if (lines.length > most) throw new Error(`${name} has ${lines.length.toLocaleString("en")} arrivals, and at most ${most.toLocaleString("en")} can be answered at once. ${instead}`);
  const place = columns.indexOf(column);
  const arrivals = new Array(lines.length);
  let before = 0;
  let start = 0;
  for (const [k, line] of lines.entries()) {
    const cell = cells(line)[place] ?? "";
    let at = cell === "" ? NaN : Number(cell);
    if (Number.isNaN(at) && column === "time") at = moment(cell);
    const row = `Row ${(k + 1).toLocaleString("en")} of ${name}`;
    if (!Number.isFinite(at)) throw new Error(`${row} has ${JSON.stringify(cell.slice(0, 40))} as its ${column}, which is no ${column === "time" ? "time: write it as 2026-11-28T09:30:00Z" : "number of seconds"}.`);
    if (k === 0 && column === "time") start = Math.floor(at / DAY) * DAY;
    at -= start;
    if (at < before - 0.001) throw new Error(k ? `${row} is earlier than the row before. Sort the file by ${column}.` : `${row} is before 0.`);
    if (at > MOST_DAYS * DAY) throw new Error(`${row} is more than ${MOST_DAYS} days after the start.`);
    arrivals[k] = before = Math.round(at * 1000) / 1000;
  }
  return arrivals;
}

/** Seconds since 1970; a time without a zone is UTC. */
function moment(text) {
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(text) || !/\d:\d/.test(text);
  return Date.parse(zoned ? text : `${text.replace(" ", "T")}Z`) / 1000;
}

/** The cells of a line, without the quotes that some programs write. */
function cells(line) {
  if (!line.includes('"')) return line.split(",").map((cell) => cell.trim());
  return [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) => (quoted ?? plain).replaceAll('""', '"').trim());
}

/** Mean requests in each hour of the week, from the first day on. */
export function rhythmOf({ arrivals, days }) {
  const counts = new Array(HOURS).fill(0);
  for (const at of arrivals) counts[Math.floor(at / 3600) % HOURS] += 1;
  return counts.map((count, hour) => count / Math.max(Math.ceil((days * 24 - hour) / HOURS), 1));
}
