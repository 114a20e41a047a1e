/** Errors of a prediction as a user needs them: without the names of classes, and Cog's downloads in words. */

const BEFORE = /^(((?:Prediction|Training) failed|Input validation error|worker setup failed( \(slot [^)]*\))?|setup failed|failed to load predictor): )+/i;
const OWN = /^(ValueError: )?(InputError|FetchError|EaselError|AdapterError|WeightsError|ModelError): /;

/** {text, address}: `address` is the one, or the host, that could not be fetched. */
export function plainError(error) {
  const text = String(error ?? "").replace(BEFORE, "").replace(OWN, "").trim();
  for (const [pattern, write] of DOWNLOADS) {
    const found = pattern.exec(text);
    if (found) return write(...found.slice(1));
  }
  const [, address] = /^image or mask: (https?:\/\/\S+): /.exec(text) ?? []; // Easel's own, which cannot know which of the two
  if (address) return { text, address };
  return { text: text || "The prediction failed without a reason. The logs may have one." };
}

// As the library words them that Cog fetches a model's files with (requests, on urllib3).
const DOWNLOADS = [
  [/(\d{3}) (?:Client|Server) Error: ?(.*?) for url: (\S+)/, answered],
  [/HTTPS?Connection(?:Pool)?\(host='([^']+)'(?:, port='?(\d+)'?)?.*?(NameResolution|getaddrinfo|Name or service|nodename)/s, (host) => unreachable(host, `There is no host ${host}`, "Check the address for typing errors")],
  [/HTTPS?ConnectionPool\(host='([^']+)'.*?(?:timed? ?out|Timeout)/is, (host) => unreachable(host, `${host} does not answer in time`, "Try again later, or choose the file here instead")],
  [/HTTPS?ConnectionPool\(host='([^']+)'.*?(?:SSL|CERTIFICATE)/is, (host) => unreachable(host, `${host} has no certificate that can be trusted`, "Choose the file here instead")],
  [/HTTPS?ConnectionPool\(host='([^']+)'/, (host) => unreachable(host, `${host} cannot be reached`, "Check the address, or choose the file here instead")],
  [/TooManyRedirects|Exceeded (\d+) redirects/, () => ({ text: "The file's address leads from one to another without an end. Choose the file here instead." })],
  [/No connection adapters were found for '?([^']*)'?/, unfit],
  [/Invalid URL '?([^':]*:?[^']*?)'?: /, unfit],
  [/unknown url type: '?([^'\s]*)'?/, unfit],
  [/IncompleteRead|Connection broken|Connection aborted|RemoteDisconnected/, () => ({ text: "The connection broke while the file was fetched. Try again, or choose the file here instead." })],
  [/Incorrect padding|Invalid base64|binascii/i, () => ({ text: "A data URL is not whole base64. Choose the file here instead." })],
];

function answered(status, reason, url) {
  const gone = status === "404" || status === "410";
  const advice = gone ? "Check the address" : status === "401" || status === "403" ? "It must be open to everybody, or choose the file here instead" : "Try again later, or choose the file here instead";
  const shown = url.split(/[?#]/)[0]; // the rest may be a signature
  return { text: `${shown} could not be fetched: its server answered ${status}${reason ? ` (${reason})` : ""}. ${advice}.`, address: shown };
}

const unreachable = (host, what, advice) => ({ text: `The file could not be fetched: ${what}. ${advice}.`, address: host });

function unfit(address) {
  const shown = String(address ?? "").split(/[?#]/)[0].slice(0, 200);
  return { text: `${shown || "This"} is not an address that a file can be fetched from. Give one that begins with https://, or choose the file here.`, address: shown };
}
