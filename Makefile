# Pillarbox: every command that people and CI use. `make` alone lists them.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

# Programs that the checks need and that cargo builds once, outside the tree.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pillarbox/tools
GARAGE_VERSION := 2.5.0
# The programs that make e2e drives, and the packages that they are in.
DRIVEN := mbsync offlineimap fetchmail getmail mpop neomutt script curl python3 swaks msmtp
CLIENTS := isync libsasl2-modules offlineimap3 fetchmail getmail6 mpop neomutt curl python3 swaks libnet-ssleay-perl msmtp
export PATH := $(PATH):$(HOME)/.cargo/bin:$(TOOLS)/bin

# By target, not by package: then it is built with the features that the tests are built with, and shares their builds.
XTASK := cargo run --quiet --bin xtask --

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo takes MAIL=DIR-or-mbox (mail to take in) and DEMO_EXIT=1 (stop after the story);"
	@echo "  make test takes ARGS='-p billing' and the like; make bench takes ONLY=name;"
	@echo "  make fuzz takes TIME=seconds (for each target) and ONLY=name;"
	@echo "  make nightly takes CASES=number (for each property) and SEED=number;"
	@echo "  make contract takes CASES=number (for each operation) and SEED=number"

.PHONY: demo
demo: install ## Build, start on embedded defaults, play the main job, stay up until Ctrl-C
	@$(XTASK) demo $(if $(filter-out 0,$(DEMO_EXIT)),--exit) $(if $(MAIL),--mail '$(MAIL)')

.PHONY: test
test: install ## Run every test, against a real Postgres and an S3-compatible server
	@$(XTASK) test $(ARGS)

.PHONY: nightly
nightly: install ## Every test, each property with 10,000 cases and more; prints the seed (hours)
	@seed=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')); cases=$(or $(CASES),10000); \
	echo "nightly: CASES=$$cases SEED=$$seed"; \
	PROPTEST_CASES=$$cases PROPTEST_RNG_SEED=$$seed $(XTASK) test --workspace --no-fail-fast || \
	{ echo "nightly: FAILED; again with make nightly CASES=$$cases SEED=$$seed"; exit 1; }

.PHONY: fuzz
fuzz: install-fuzz ## Fuzz every parser of what strangers send, TIME seconds each (60)
	@crates/fuzz/run '$(or $(TIME),60)' $(ONLY)

.PHONY: run
run: install ## Serve on embedded defaults, without the story
	@cargo run --quiet --bin pillarbox -- serve

.PHONY: check
check: install-check fmt-check tidy deny clippy doc generate-check ## Everything that finds faults without running tests

.PHONY: generate
generate: install ## Write the files that are made from the code: .sqlx, openapi/openapi.json
	@$(XTASK) generate

.PHONY: bench
bench: install ## Measure, and write target/bench.jsonl
	@cargo build --quiet --release --bin pillarbox --example bench
	@target/release/examples/bench target/release/pillarbox $(ONLY)

.PHONY: release
release: install ## Build target/release/pillarbox
	cargo build --release --locked --bin pillarbox
	@ls -l target/release/pillarbox

.PHONY: e2e
e2e: install ## The S3 contract and the story against Garage, full disks, and mail programs against a server, where they can be had
	@if [ -x "$${PILLARBOX_GARAGE:-$(TOOLS)/bin/garage}" ]; then \
		export PILLARBOX_GARAGE="$${PILLARBOX_GARAGE:-$(TOOLS)/bin/garage}" && \
		$(XTASK) test --workspace --tests -- --ignored garage --nocapture; \
	else \
		echo "e2e: left out, there is no Garage in $(TOOLS)/bin; make garage builds it"; \
	fi
	@if (for program in $(DRIVEN); do command -v $$program || exit 1; done; ls /usr/lib/*/sasl2/libscram.so) >/dev/null 2>&1; then \
		$(XTASK) test -p server --test it -- --ignored clients; \
	else \
		echo "e2e: left out, there are no mail programs; make clients installs them"; \
	fi
	@if [ "$$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then \
		$(XTASK) test -p server --test it -- --ignored disk::; \
	else \
		echo "e2e: left out, this is not root or no file system can be mounted here (unshare --mount), which full disks need"; \
	fi
	@if [ "$$(id -u)" = 0 ] && command -v postfix >/dev/null; then \
		$(XTASK) test -p server --test it -- --ignored postfix; \
	else \
		echo "e2e: left out, Postfix is not installed (make postfix) or this is not root, which it needs"; \
	fi
	@if [ "$$(id -u)" = 0 ] && command -v postfix >/dev/null && command -v rspamd >/dev/null; then \
		$(XTASK) test -p server --test it -- --ignored rspamd; \
	else \
		echo "e2e: left out, rspamd or Postfix is not installed (make rspamd) or this is not root, which it needs"; \
	fi
	@if [ "$$(id -u)" = 0 ] && command -v dovecot >/dev/null && [ -x /usr/lib/dovecot/lmtp ] && [ -x /usr/lib/dovecot/pop3 ]; then \
		$(XTASK) test -p server --test it -- --ignored dovecot; \
	else \
		echo "e2e: left out, Dovecot (dovecot-lmtpd, dovecot-imapd, dovecot-pop3d) is not installed or this is not root, which it needs"; \
	fi
	@if [ -x /usr/lib/thunderbird/thunderbird-bin ]; then \
		$(XTASK) test -p server --test it -- --ignored thunderbird; \
	else \
		echo "e2e: left out, Debian's Thunderbird is not installed (make thunderbird)"; \
	fi

.PHONY: clients
clients: ## Install the mail programs that make e2e drives, on Debian or Ubuntu as root
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(CLIENTS)
	@$(MAKE) rspamd || echo 'clients: Postfix or rspamd was not installed; the tests that need it are left out'

# Large, so on its own. Ubuntu's package of this name is a snap's and of no use here.
.PHONY: thunderbird
thunderbird: ## Install Thunderbird for make e2e, on Debian as root
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends thunderbird

# Without a main.cf the package starts no service; whatever other MTA the machine has stays.
.PHONY: postfix
postfix: ## Install Postfix for make e2e, on Debian or Ubuntu as root, without a service of its own
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends --no-remove postfix

# Its package starts a service, which nothing here needs; one that was there before stays.
.PHONY: rspamd
rspamd: postfix ## Install rspamd, and Postfix, for make e2e, on Debian or Ubuntu as root, without a service of its own
	@command -v rspamd >/dev/null || { \
		DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends --no-remove rspamd && \
		if [ -d /run/systemd/system ]; then systemctl disable --now rspamd; fi; }

.PHONY: garage
garage: install ## Build Garage for make e2e, once (10 to 30 minutes)
	@if [ -x "$(TOOLS)/bin/garage" ]; then echo "garage: there already, in $(TOOLS)/bin"; \
	else cargo install garage --version $(GARAGE_VERSION) --locked --root "$(TOOLS)"; fi

.PHONY: contract
contract: install-contract ## Hold the API to openapi.json: lint, a TypeScript client that plays the story, a fuzzer; its invoices to EN 16931
	@$(XTASK) contract --tools '$(TOOLS)' $(if $(CASES),--cases '$(CASES)') $(if $(SEED),--seed '$(SEED)')

.PHONY: advisories
advisories: install-check ## Look for known vulnerabilities in the dependencies (needs the network)
	@if ! cargo deny fetch db >/dev/null 2>&1; then \
		echo "advisories: NOT CHECKED, the advisory database cannot be fetched (offline?)"; \
	else cargo deny check advisories; fi

# The parts of `make check`, cheapest first.

.PHONY: fmt-check tidy deny clippy doc generate-check
fmt-check:
	cargo fmt --all --check
	cargo fmt --manifest-path crates/fuzz/Cargo.toml --check
tidy:
	@$(XTASK) tidy
deny:
	cargo deny --log-level error check bans licenses sources
clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings
doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
generate-check:
	@$(XTASK) generate --check

.PHONY: install install-check install-contract install-fuzz
install:
	@deploy/local/install.sh
install-check:
	@deploy/local/install.sh check
install-contract:
	@deploy/local/install.sh contract
install-fuzz:
	@deploy/local/install.sh fuzz
