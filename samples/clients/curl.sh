#!/usr/bin/env bash
# Pictures by curl and jq, from Replicate or from an `easel api` of your own.
#
#   export REPLICATE_API_TOKEN=...
#   export REPLICATE_BASE_URL=http://127.0.0.1:5001   # left out: Replicate
#   bash curl.sh [OWNER/MODEL] [FOLDER]
set -euo pipefail

model=${1:-easel/emoji}
folder=${2:-.}
api=${REPLICATE_BASE_URL:-https://api.replicate.com}/v1
mkdir -p "$folder"

call() { curl --silent --show-error --header "Authorization: Bearer $REPLICATE_API_TOKEN" "$@"; }

# It is answered at once, with an id and addresses to ask. With --header 'Prefer: wait' it would wait for the output.
prediction=$(call "$api/models/$model/predictions" --header 'Content-Type: application/json' \
  --data '{"input": {"prompt": "a red apple", "num_outputs": 2, "seed": 7, "output_format": "webp"}}')

while [[ $(jq -r .status <<<"$prediction") =~ ^(starting|processing)$ ]]; do
  sleep 0.5
  prediction=$(call "$(jq -r .urls.get <<<"$prediction")")
done

if [[ $(jq -r .status <<<"$prediction") != succeeded ]]; then
  jq -r '.detail // .error // .status' <<<"$prediction" >&2 # what the API refused, or why the prediction failed
  exit 1
fi

number=0
for url in $(jq -r '[.output] | flatten[]' <<<"$prediction"); do
  path=$folder/apple.$number.webp
  curl --silent --show-error --fail --output "$path" "$url" # needs no token: who knows the address may have it
  echo "$path"
  number=$((number + 1))
done
