#!/bin/sh
# Installs the Debian packages that building, testing and the demo need, and nothing else. Says what it installs; silent when
# all is there. Debian 12 and 13 and their relatives. Without apt: prints what is missing and goes on. Arguments are further packages.
set -eu

packages="meson ninja-build gcc g++ libc6-dev pkg-config libdnnl-dev libpng-dev libjpeg-dev libfreetype-dev libharfbuzz-dev
libarchive-dev libexpat1-dev libutf8proc-dev libchafa-dev libjansson-dev libcmocka-dev fonts-noto-color-emoji fonts-dejavu-core unicode-data
unicode-cldr-core $*"

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    missing=
    for tool in meson ninja gcc pkg-config; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    if command -v pkg-config >/dev/null 2>&1; then
        for module in libpng libjpeg freetype2 harfbuzz libarchive expat libutf8proc chafa jansson cmocka; do
            pkg-config --exists "$module" || missing="$missing $module"
        done
    fi
    [ -z "$missing" ] || echo "deps: no apt here; missing:$missing (also needed: oneDNN, a colour emoji font, Unicode's emoji-test.txt and CLDR's annotations)" >&2
    exit 0
fi

# A package counts as there when it, or another one that provides its name (pkgconf for pkg-config), is installed.
installed=$(dpkg-query -W -f '${db:Status-Abbrev}|${Package},${Provides},\n' 2>/dev/null | sed -n 's/^ii *|//p' |
    tr ',' '\n' | sed 's/^ *//; s/[ (:].*//' | sort -u)
missing=
for package in $packages; do
    printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

run=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: missing packages:$missing" >&2
        echo "deps: neither root nor sudo here; as root: apt-get install$missing" >&2
        exit 1
    fi
    run=sudo
fi
echo "deps: installing with apt:$missing"
$run apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
