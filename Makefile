# Two commands matter: "make demo" runs the whole story, "make test" runs every test.
# Both set up what they need. Go and make are all a machine has to bring.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# cgo is used by the race detector alone; the product is one static binary.
build = CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

# Packages with concurrent code whose tests have been seen to pass under the race detector.
RACE = ./database/... ./issuer/... ./gate/... ./wallet/... ./keys/keystore/... ./ledger/store/... ./ledger/node/... ./ledger/client/... ./audit/... ./internal/home

.PHONY: all build pkcs11 drill demo test unit race hsm wasm interop chaos lint format vet fmt fuzz bench figures scale setup clean

all: build

build:
	$(build) -o bin/hufu ./cmd/hufu

# With keys in PKCS#11 tokens, whose libraries are loaded: that needs cgo, so this one is linked to the C library.
PKCS11 ?= bin/hufu
pkcs11:
	CGO_ENABLED=1 $(GO) build -tags pkcs11 -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(PKCS11) ./cmd/hufu

demo: build
	./bin/hufu demo

test: setup build unit wasm race hsm interop

# Every role is backed up, destroyed and restored, on real processes; with PostgreSQL and a PKCS#11 token where they are.
drill: build
	@run=bin/hufu; if { command -v gcc || command -v clang; } >/dev/null 2>&1 && [ -e /usr/lib/softhsm/libsofthsm2.so ]; then \
	  run=bin/hufu-pkcs11 && $(MAKE) --no-print-directory pkcs11 PKCS11=$$run; fi && ./tools/with-postgres.sh ./deploy/drill.sh $$run

# Everything once, without the race detector, with a PostgreSQL server of its own; then issuer and gate on it altogether.
unit:
	CGO_ENABLED=0 ./tools/with-postgres.sh $(GO) test -timeout 40m ./...
	CGO_ENABLED=0 ./tools/with-postgres.sh env HUFU_TEST_ENGINE=postgres $(GO) test ./issuer ./gate

race:
	@if command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1; then \
	  CGO_ENABLED=1 $(GO) test -timeout 30m -race -short $(RACE); \
	else echo "SKIPPED: the race detector needs a C compiler (Debian: apt-get install gcc libc6-dev)"; fi

# Keys in a PKCS#11 token: SoftHSM2, in software.
hsm:
	@if ! command -v gcc >/dev/null 2>&1 && ! command -v clang >/dev/null 2>&1; then echo "SKIPPED: PKCS#11 needs a C compiler (Debian: apt-get install gcc libc6-dev)"; \
	elif ! [ -e /usr/lib/softhsm/libsofthsm2.so ]; then echo "SKIPPED: the tests of PKCS#11 need SoftHSM2 (Debian: apt-get install softhsm2)"; \
	else CGO_ENABLED=1 $(GO) vet -tags pkcs11 ./keys/keystore ./cmd/hufu && CGO_ENABLED=1 $(GO) test -tags pkcs11 ./keys/keystore && \
	  CGO_ENABLED=1 $(GO) test -tags pkcs11 -run TestHSM ./cmd/hufu; fi

# Wallets, issuers and verifiers that others wrote (npm), against this one.
interop: build
	@if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 && [ "$$(node -p 'process.versions.node.split(".")[0] >= 20')" = true ]; then \
	  cd interop && { cmp -s package-lock.json node_modules/.made-from || { npm ci --silent && cp package-lock.json node_modules/.made-from; }; } && node run.mjs && \
	  ../tools/with-postgres.sh node run.mjs --on-postgres edges.test.mjs status.test.mjs; \
	else echo "SKIPPED: the interop tests need Node 20 or newer and npm (Debian: apt-get install nodejs npm)"; fi

# Faults of processes, network, clocks and disks, and cheating validators, all rounds of all of them; "make unit" has
# a short form. It needs Linux, root and /dev/net/tun.
chaos:
	CGO_ENABLED=0 HUFU_CHAOS=full $(GO) test ./internal/chaos -count=1 -timeout 4h -v

# The pure core also has to compile for browsers.
wasm:
	GOOS=js GOARCH=wasm CGO_ENABLED=0 $(GO) build . ./encoding ./keys ./credential/... ./contract/... ./ledger/tx ./ledger/proof ./ledger/state/...

# OpenSSL 3 is the oracle for SM2 and SM3, PostgreSQL the other database, SoftHSM2 a PKCS#11 token; faults need root and TUN.
# Without them those tests skip and say so.
setup:
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql || echo "NOTE: PostgreSQL could not be installed"; \
	  else echo "NOTE: no PostgreSQL here (Debian: apt-get install postgresql): the tests on it will skip"; fi; fi
	@if ! [ -e /usr/lib/softhsm/libsofthsm2.so ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq softhsm2 || echo "NOTE: SoftHSM2 could not be installed"; \
	  else echo "NOTE: no SoftHSM2 here (Debian: apt-get install softhsm2): the tests of PKCS#11 will skip"; fi; fi
	@if ! openssl version 2>/dev/null | grep -q '^OpenSSL 3'; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -qq && apt-get install -y -qq openssl; \
	  else echo "NOTE: no OpenSSL 3 here (Debian: apt-get install openssl): the SM2 and SM3 cross-checks will skip"; fi; fi
	@if [ "$$(id -u)" != 0 ] || ! [ -c /dev/net/tun ]; then echo "NOTE: not root, or no /dev/net/tun: the tests of faults in network namespaces will skip"; fi

format:
	$(GO) build -C tools -o ../bin/ mvdan.cc/gofumpt
	@unformatted=$$(git ls-files '*.go' | xargs ./bin/gofumpt -l); if [ -n "$$unformatted" ]; then echo "run make fmt:"; echo "$$unformatted"; exit 1; fi

vet:
	$(GO) vet ./...

# Linters come from their own module, so that they never enter the product's.
lint: format
	$(GO) build -C tools -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	./bin/golangci-lint run ./...

fmt:
	$(GO) build -C tools -o ../bin/ mvdan.cc/gofumpt
	git ls-files '*.go' | xargs ./bin/gofumpt -w

# Every fuzz target for FUZZTIME each, beyond the seeds that "make test" runs.
FUZZTIME ?= 30s
fuzz:
	@for pkg in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	  echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; done; done

bench: build
	./bin/hufu bench

# Every figure of the documentation, measured anew: an hour on a machine with nothing else to do, and 60 GB under
# FIGURES_DIR, nearly all of it for the store at 100 million records. ONLY=verify,store measures some.
FIGURES_DIR ?= /var/tmp
FIGURES_RECORDS ?= 1000000,10000000,100000000
figures: build
	$(GO) run ./internal/figures -run bin/hufu -only "$(ONLY)" -records $(FIGURES_RECORDS) -dir $(FIGURES_DIR)

# What follows from the figures, without measuring: docs/scale.md and the tables of docs/performance.md.
scale:
	$(GO) run ./internal/figures

clean:
	rm -rf bin .cache
