# Sourced after a definition of `fail`, which takes a sentence that begins with a verb and ends the script.

# install_packages WHERE AGAIN LOG PACKAGE...: has Debian install what is absent; WHERE is what cannot be tried without, AGAIN
# the command to type afterwards.
install_packages() {
    where=$1 again=$2 log=$3
    shift 3
    # Not fast, but right: a package counts only when dpkg says that it is wholly installed.
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null 2>&1 ||
        fail "cannot be tried $where here: it needs$missing, which only Debian's apt-get is known to install."
    [ "$(id -u)" = 0 ] ||
        fail "cannot be tried $where yet: run 'apt-get install$missing' as root and then $again again."
    echo "Installing$missing (once) ..."
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } >"$log" 2>&1 ||
        fail "cannot be tried $where here: apt-get could not install$missing; $log says why."
}
