#!/bin/bash
# docs/ceremony.md, played: its commands are run as they stand there, in its order, and what it says must be seen is looked for.
# Blocks of the book:  sh          runs; its status must be 0         sh refused  must not be
#                      sh waits    runs on, until `see waited`                  sh again    runs until what follows is seen
#                      see         lines of the last output; `…` is anything    unseen      must not be in it
#                      policy      the rules of policy 1                            file NAME
# For the people stand here: passphrases and `yes` (kanmon below), and the board, on which the newest request's number is.
. "${srcdir:-.}/tests/tap.sh"
book=$source_dir/docs/ceremony.md
export PIN=kanmon-pin-4711-xyzzy

# blocks: a folder of files: NNN.KIND (words joined by _), and NNN.title, the heading above.
blocks() {
	mkdir -p "$work/book"
	awk -v to="$work/book/" '
		/^```/ && !inside { inside = 1; kind = substr($0, 4); gsub(/ /, "_", kind); name = to sprintf("%03d.", ++n)
			printf "%s", title >(name "title"); close(name "title"); name = name kind; printf "" >name; next }
		/^```/ { inside = 0; close(name); next }
		inside { print >name; next }
		/^#+ / { sub(/^#+ /, ""); title = $0 }' "$book"
}
blocks
rules=$(echo "$work"/book/*.policy)
{
	printf 'kanmon/policy/v1\norigin @ORIGIN@\nversion 1\nprevious none\nnot-before @NOT_BEFORE@\nexpires @EXPIRES@\n\n@ROSTER@\ntoken @TOKEN@\n\n'
	cat "$rules"
} >"$work/policy.in"
"$source_dir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
export RUNTIME=${LD_PRELOAD:-} # of a sanitizer, for the programs here that load the provider
unset LD_PRELOAD
mkdir "$work/room" "$work/home" && cd "$work/room" || exit 99
export HOME=$work/home
ln -s "$CUSTODIAN_DIR" "$HOME/kanmon"
cp "$book" "$work/gw/gateway/gateway.spki" .
export GATEWAY ORIGIN DIR=$work/gw/gateway
GATEWAY=$(sed -n 's/^gateway = {"\(.*\)"}$/\1/p' "$KANMON_CONFIG")
ORIGIN=$(sed -n 's/^origin //p' "$work/gw/policy")
R= job=
echo 'quorum-wait = 60' >>"$KANMON_CONFIG"
echo 'kato-and-nobody-else' >"$HOME/kanmon/kato.passphrase"

# A person at the keyboard: their passphrase, and `yes`.
kanmon() {
	local who answer=()
	who=$(grep -o "$HOME/kanmon/[a-z]*" <<<"$*" || true)
	case "$1 ${2-}" in
	approve\ * | attest\ * | 'policy sign') answer=(--yes --passphrase-file "$who.passphrase") ;;
	'custodian new') answer=(--weak-seal --passphrase-file "$HOME/kanmon/$3.passphrase") ;;
	esac
	command kanmon "$@" "${answer[@]}"
}

# Each command of a block must do what the book expects, not the last one alone. Functions are kept for later blocks.
pkcs11-tool() { LD_PRELOAD=$RUNTIME command pkcs11-tool "$@"; }
openssl() { if [[ $* == *-engine* ]]; then LD_PRELOAD=$RUNTIME command openssl "$@"; else command openssl "$@"; fi; }
declare -f kanmon pkcs11-tool openssl >"$work/functions"
play() {
	sed -n '/^[a-z0-9]*() {.*}$/p; /^[a-z0-9]*() {$/,/^}/p' "$1" >>"$work/functions"
	R=$R bash -eu -o pipefail -c '. "$0" && . "$1"' "$work/functions" "$1"
}

# seen FILE: each line of it, in the last output, however wide its columns are.
seen() {
	local line pattern
	while IFS= read -r line; do
		pattern=$(tr -s ' ' <<<"$line" | sed -e 's/[][\.*^$]/\\&/g' -e 's/…/.*/g')
		tr -s ' ' <"$work/output" | grep -q -e "$pattern" || { printf 'not seen: %s\nin:\n' "$line" && cat "$work/output" && false; } || return
	done <"$1"
}
unseen() { fails grep -F -f "$1" "$work/output"; }

board() {
	local number
	number=$(sed -n 's/^[Rr]equest \([0-9][0-9]*\)\b.*/\1/p' "$work/output" | tail -n 1)
	[ -z "$number" ] || R=$number
}

over() { # the command that waited
	wait "$job"
	local status=$?
	cp "$work/waited" "$work/output"
	shown $status
}

again_until() { # SH SEE
	for _ in $(seq 100); do
		play "$1" >"$work/output" 2>&1 && seen "$2" >/dev/null && return
		sleep 0.1
	done
	seen "$2"
}

shown() { cat "$work/output" && return "$1"; }
run_block() {
	play "$1" >"$work/output" 2>&1
	shown $?
}

looked=
for title_file in "$work"/book/*.title; do
	title=$(cat "$title_file")
	block=$(ls -d "${title_file%.title}".[!t]*)
	kind=${block#"${title_file%title}"}
	case $kind in
	policy) ;;
	file_*) cp "$block" "${kind#file_}" ;;
	sh_waits)
		play "$block" >"$work/waited" 2>&1 &
		job=$!
		;;
	sh_again) looked=$block ;;
	sh) t "$title" run_block "$block" ;;
	sh_refused) t "$title: refused" fails run_block "$block" ;;
	see_waited)
		t "$title: what waited ends well" over
		t "$title: seen" seen "$block"
		;;
	see)
		if [ -n "$looked" ]; then t "$title: seen, after a while" again_until "$looked" "$block"; else t "$title: seen" seen "$block"; fi
		looked=
		;;
	unseen) t "$title: not seen" unseen "$block" ;;
	*) t "a block of the kind $kind is known" false ;;
	esac
	case $kind in sh | see) board ;; esac
done
t_end
