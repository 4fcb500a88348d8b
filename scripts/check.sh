#!/bin/sh
# What must hold for every commit; the same for people and for CI. Runs everything and reports all that failed.
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin
failed=""
run() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "ok      $name"
    else
        printf '%s\nFAILED  %s\n' "$output" "$name"
        failed="$failed $name"
    fi
}
run format "$bin/ruff" format --check
run lint "$bin/ruff" check
run types "$bin/mypy"
run imports "$bin/lint-imports"
run cli-docs "$bin/python" scripts/generate_cli_docs.py --check
run sync "$bin/python" scripts/generate_sync.py --check
run guest "$bin/python" hatch_build.py --check
if [ -n "$failed" ]; then
    echo "failed:$failed" >&2
    exit 1
fi
