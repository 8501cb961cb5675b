# Aliases; the two commands themselves are ./run and ./test.
.PHONY: run test lint format lock
run:    ; ./run
test:   ; ./test
lint:   ; ./test --checks
format: ; .venv/bin/ruff check --fix . && .venv/bin/ruff format .
lock:   ; deploy/bin/lock
