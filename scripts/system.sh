# Sourced by ./check: what the tests need from the system, installed where this user may, else named in a command.

has_postgres() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

system_packages() {
  local missing=() sudo=()
  has_postgres || missing+=(postgresql)
  has_chromium || missing+=(chromium)
  command -v curl >/dev/null || missing+=(curl)
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "error: the tests need ${missing[*]}"
    if command -v brew >/dev/null; then
      say "hint: brew install ${missing[*]}"
    else
      say "hint: install them with the system's package manager; initdb and chromium belong on the PATH"
    fi
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
      sudo=(sudo -n)
    else
      say "error: the tests need ${missing[*]}, and this user may not install packages"
      say "hint: sudo apt-get update && sudo apt-get install -y ${missing[*]}"
      return 1
    fi
  fi
  say "installing ${missing[*]}"
  # No cluster of the system's own: the tests make a private one, and a service on port 5432 is not theirs to start.
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    ${sudo[@]+"${sudo[@]}"} mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | ${sudo[@]+"${sudo[@]}"} tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  if ! ${sudo[@]+"${sudo[@]}"} apt-get update -qq ||
    ! ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
    say "error: ${missing[*]} could not be installed"
    say "hint: apt-get update && apt-get install -y ${missing[*]}"
    return 1
  fi
}
