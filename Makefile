# One line a verb.  `make demo` and `make test` install what they need on a fresh machine (Python 3.11+ and make).
PYTHON ?= python3
EVENTS ?= 200000
BROKER ?= kinesis
STAGE ?= dev
PORT ?= 4566
CHOICE = -c stage="$(STAGE)" -c broker="$(BROKER)" $(if $(ORIGINS),-c front_origins="$(ORIGINS)") $(if $(MASKING),-c masking="$(MASKING)")
# A process a core, four at most for memory's sake; what shares a deployed platform or a Spark session stays in one (tests/conftest.py).
PYTEST := pytest -q -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder
# Types are judged beside the tests and told after them; the verb fails if either does.
proved = ruff format --check . && ruff check . && mkdir -p build && { mypy . >build/types.txt 2>&1 & types=$$!; \
	$(PYTEST) $(1); tests=$$?; wait $$types; types=$$?; cat build/types.txt; [ $$types -eq 0 ] && exit $$tests; }
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export CDK_DISABLE_CLI_TELEMETRY := true
# Where compiled modules are not kept, every process of a deployment or a test compiles all of them again.
unexport PYTHONDONTWRITEBYTECODE
# Major versions of Node that work and that jsii would shout about at each synth.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 18,20

demo: .venv/ready node    ## install, deploy into a laptop cloud, send events, run the day, write the page
	@python -m demo --events="$(EVENTS)" --clicks="$(CLICKS)" --mapping="$(MAPPING)" --faults="$(FAULTS)" --broker="$(BROKER)"
local: .venv/ready node   ## leave a laptop cloud running, bootstrapped; prints what to export
	@python -m local --port="$(PORT)" --state build/local --bootstrap
synth: .venv/ready node   ## write the templates to cdk.out
	@cdk synth --quiet $(CHOICE)
deploy: .venv/ready node  ## deploy to the account of your credentials: [STAGE= BROKER= MASKING=on ORIGINS=https://…,https://…]
	@cdk deploy --all $(CHOICE)
redrive: .venv/ready      ## send again what was set aside and is good now: REASON= [FROM= TO= DRY_RUN=on]
	@python -m clients.operations redrive --reason "$(REASON)" --from "$(FROM)" --to "$(TO)" --dry-run "$(DRY_RUN)"
replay: .venv/ready       ## curate arrivals again beside the tables and compare: FROM= TO= [SWAP=on ACCEPT=on DRY_RUN=on]
	@python -m clients.operations replay --from "$(FROM)" --to "$(TO)" --swap "$(SWAP)" --accept "$(ACCEPT)" --dry-run "$(DRY_RUN)"
account: .venv/ready      ## prove that a past day adds up, yesterday if nobody says: [DAY=]
	@python -m clients.operations account --day "$(DAY)"
readout: .venv/ready      ## read an experiment: EXPERIMENT=; a page, figures and pictures in build/readout
	@python -m clients.readout --experiment "$(EXPERIMENT)"
release: .venv/ready      ## publish answers under differential privacy: DATASET= EPSILON= [DAY= DRY_RUN=on]
	@python -m clients.privacy release --dataset "$(DATASET)" --epsilon "$(EPSILON)" --day "$(DAY)" --dry-run "$(DRY_RUN)"
plan: .venv/ready         ## say from the lake's past how long an experiment would run, or why it cannot work: EXPERIMENT= [UNTIL=]
	@python -m clients.readout.plan --experiment "$(EXPERIMENT)" --until "$(UNTIL)"
value: .venv/ready        ## value an experiment's policy, and each arm, on what was logged before it goes live: EXPERIMENT=
	@python -m clients.readout.value --experiment "$(EXPERIMENT)"
erase: .venv/ready        ## remove people for good, and check their certificates: SUBJECT=u-1[,u-2]
	@python -m clients.privacy erase --subject "$(SUBJECT)"
anonymize: .venv/ready    ## publish a table with each person in a group: PUBLICATION= [DAY=]
	@python -m clients.privacy anonymize --publication "$(PUBLICATION)" --day "$(DAY)"
check: .venv/ready-test   ## format, lint, types and the fast tests
	@$(call proved,-m "not slow")
test: .venv/ready-test    ## everything
	@$(call proved)
bench: .venv/ready-test   ## each figure beside its peers and the physical limit
	@pip install -q --disable-pip-version-check -r requirements-bench.txt && python -m benchmarks

node: .venv/ready
	@command -v node >/dev/null || { echo "rivermill: there is no node on the PATH: run .venv/bin/python -m local.tools, which puts one into .venv" >&2; exit 2; }
.venv/ready: requirements.txt package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Rivermill needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@echo "installing into .venv (once; about 2 GB)" && $(PYTHON) -m venv .venv && pip install -q --disable-pip-version-check -r requirements.txt
	@python -m local.tools && npm ci --silent --no-fund --no-audit && touch $@
.venv/ready-test: .venv/ready requirements-test.txt
	@pip install -q --disable-pip-version-check -r requirements-test.txt && touch $@
.PHONY: anonymize release node demo local synth deploy redrive replay account readout plan value erase check test bench
