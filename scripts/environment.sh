# Sourced by ./demo and ./check: `environment NAME` makes .venv hold requirements/NAME.txt and this checkout.
# It is idempotent (a copy of the requirements that were installed is the stamp), may be interrupted anywhere, works
# without a network once done, and uses uv where it is on the PATH, else pip. Progress goes to standard error.

python=.venv/bin/python

say() { printf '%s\n' "$*" >&2; }

# A Python that is new enough and, where pip has to do the work, can make an environment with pip in it.
find_python() {
  local candidate wanted='import sys; assert sys.version_info >= (3, 11)'
  command -v uv >/dev/null || wanted="$wanted; import ensurepip, venv"
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$candidate" -c "$wanted" >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  say "error: no Python 3.11 or newer that can make a virtual environment was found"
  if command -v apt-get >/dev/null; then
    say "hint: apt-get update && apt-get install -y python3 python3-venv"
  elif command -v brew >/dev/null; then
    say "hint: brew install python@3.13"
  else
    say "hint: install Python 3.11 or newer and put python3 on the PATH"
  fi
  return 1
}

make_venv() {
  local found
  # A half-made environment, one whose Python is gone, or one of a checkout that was moved: begin again.
  if "$python" -c 'import sys; assert sys.version_info >= (3, 11)' >/dev/null 2>&1 &&
    [ "$(cat .venv/made-in 2>/dev/null)" = "$PWD" ]; then
    return
  fi
  found=$(find_python) || return
  say "making .venv with $("$found" --version) ($found)"
  rm -rf .venv
  if command -v uv >/dev/null; then
    uv venv --quiet --no-project --python "$found" .venv || return
  else
    "$found" -m venv .venv || return
  fi
  printf '%s\n' "$PWD" >.venv/made-in
}

# What pip installed, on all processors; pip itself would take one, and the packages' own tests along. A file that is no
# Python of this version is left as it is.
compile_installed() {
  "$python" -m compileall -qq -j 0 -x '/tests?/' "$(site_packages)" || [ $? = 1 ]
}

site_packages() { "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# The checkout itself: on the path of .venv, with its command, compiled.
link_checkout() {
  local site
  site=$(site_packages) || return
  printf '%s\n' "$PWD" >"$site/millrace.pth"
  printf '#!%s\nimport sys\n\nfrom millrace.cli.main import main\n\nsys.exit(main())\n' "$PWD/$python" >.venv/bin/millrace
  chmod +x .venv/bin/millrace
  "$python" -m compileall -q millrace || return
}

environment() {
  local name=$1 wanted=requirements/$1.txt started=$SECONDS
  # test.txt holds everything of platform.txt at the same versions.
  for stamp in ".venv/has-$name.txt" .venv/has-test.txt; do
    if [ "$(cat .venv/made-in 2>/dev/null)" = "$PWD" ] && [ -x "$python" ] &&
      cmp -s "requirements/$(basename "${stamp#.venv/has-}")" "$stamp"; then
      return
    fi
  done
  make_venv || return
  rm -f .venv/has-*.txt
  if command -v uv >/dev/null; then
    say "installing $wanted with uv"
    uv pip install --quiet --no-config --python "$python" --require-hashes --compile-bytecode --requirement "$wanted" || return
  else
    say "installing $wanted with pip; this may take a few minutes"
    "$python" -m pip install --quiet --quiet --disable-pip-version-check --no-input --no-compile --require-hashes \
      --requirement "$wanted" || return
    compile_installed || return
  fi
  link_checkout || return
  cp "$wanted" ".venv/has-$name.txt"
  say ".venv is ready after $((SECONDS - started)) s"
}
