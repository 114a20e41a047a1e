/** Logs with progress bars: each bar on the one line that it would have on a terminal, and how far the newest is. */

const BAR = /^\s*(?:(.*?):\s*)?(\d+)%\|[^|]*\|\s*(\d+)\/(\d+)(.*)$/;

export function readLogs(text) {
  const lines = [];
  let progress;
  let inBar = false;
  for (const line of text.replaceAll("\r", "\n").split("\n")) {
    const bar = BAR.exec(line);
    if (bar) {
      progress = { percent: Number(bar[2]), done: Number(bar[3]), total: Number(bar[4]) };
      if (inBar) lines.pop();
    }
    if (line.trim()) lines.push(line);
    inBar = Boolean(bar);
  }
  return { text: lines.join("\n"), progress };
}
