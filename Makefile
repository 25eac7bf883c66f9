# The front door; the build itself is Meson's. make demo and make check first install what is missing (scripts/deps.sh).
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?=
NINJA = ninja -C $(BUILD) $(if $(JOBS),-j$(JOBS))

.PHONY: all deps test-deps demo check check-long sanitize build-asan install clean format

all: $(BUILD)/build.ninja
	@$(NINJA)

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX)

deps:
	@sh scripts/deps.sh

test-deps:
	@sh scripts/deps.sh clang-format

# The program alone: neither tests nor tools.
demo: deps
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(NINJA) onestep
	@sh scripts/demo.sh $(BUILD)

# All tests; the kernels once more as on a machine with AVX2 alone; and what reads files and memory under sanitizers.
check: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory build-asan
	@sh scripts/check_all.sh $(BUILD) build-asan

# All tests with the long ones (every shape; all of it under sanitizers too), models of full size against diffusers
# (PYTHON=VENV/bin/python), and the fuzz targets for a minute each (build-fuzz/).
check-long: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory build-asan
	@sh scripts/check_all.sh $(BUILD) build-asan long
	@sh scripts/full_size.sh $(BUILD)
	@sh scripts/fuzz.sh

# Address and undefined behaviour sanitizers in a folder of their own: make sanitize, then build-asan/onestep.
sanitize: test-deps
	@$(MAKE) --no-print-directory build-asan
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 sh scripts/check.sh build-asan --no-suite long --no-suite style --timeout-multiplier 5

# What the tests need of it, no more; lightly optimised and with line numbers alone, which compiles in a third of the time. Null
# pointers are the address sanitizer's anyway.
build-asan:
	@test -f build-asan/build.ninja || meson setup build-asan -Doptimization=1 -Ddebug=false -Db_ndebug=false \
	    -Dc_args='-g1 -fno-sanitize=null,object-size' -Ddefault_library=static -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-asan onestep meson-test-prereq $(if $(JOBS),-j$(JOBS))

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX) && $(NINJA)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-asan build-fuzz

format:
	clang-format -i $$(git ls-files '*.c' '*.h')
