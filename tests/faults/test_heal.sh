#!/bin/bash
# heal=on and fork=inherit, over SoftHSM2, step by step: what comes back under its old handle, and what must not. One
# application (console.c) is told what to do; meanwhile the gateway is restarted, and the token changed behind its back.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/control.sh"
command -v pkcs11-tool >/dev/null || { echo '1..0 # SKIP no pkcs11-tool' && exit 0; }
PIN=123456 SO_PIN=12345678 "$source_dir/tools/sandbox" up "$work/gw" --policy open >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 99; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
runtime=${LD_PRELOAD:-} # of a sanitizer: for programs that load our module
unset LD_PRELOAD
kanmond_pid=$(cat "$work/gw/kanmond.pid")

directly() { pkcs11-tool --module "$HSM_MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/direct.log" 2>&1; }
# The token's files belong to the worker's user; what we made did not.
handed_over() { [ "$(id -u)" != 0 ] || chown -R --reference "$work/gw/hsm" "$work/gw/hsm"; }
import() { # FILE LABEL ID OPTIONS...
	softhsm2-util --import "$1" --token "$TOKEN" --label "$2" --id "$3" --pin "$PIN" "${@:4}" >>"$work/direct.log" 2>&1 &&
		handed_over
}
rsa() { openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1" 2>/dev/null; }
make_keys() {
	rsa "$work/rsa.pem" && rsa "$work/other.pem" && rsa "$work/twin.pem" &&
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/ec.pem" &&
		import "$work/rsa.pem" rsa 01 && import "$work/ec.pem" ec 02 &&
		import "$work/rsa.pem" swapped 03 && import "$work/rsa.pem" doubled 04 && import "$work/twin.pem" rsa 05 &&
		directly --keygen --key-type AES:32 --label aes --id 06 --sensitive &&
		directly --keypairgen --key-type rsa:2048 --label each --id 07 --always-auth && handed_over
}

# An application: each line of it has one answer.
begin() {
	coproc APP { LD_PRELOAD=$runtime exec "$build/tests/faults/console" 2>"$work/console.err"; }
	app_pid=$APP_PID
}
tell() {
	echo "$*" >&"${APP[1]}"
	read -r -t 60 answer <&"${APP[0]}" || answer="nothing; $(cat "$work/console.err")"
}
end() {
	eval "exec ${APP[1]}>&-"
	wait "$app_pid"
}
# gives ANSWER LINE... : ANSWER is a pattern
gives() {
	local want=$1
	shift
	tell "$@"
	# shellcheck disable=SC2053
	[[ $answer == $want ]] || { echo "$*: $answer, not $want" && return 1; }
}
all_of() { # lines of "ANSWER LINE..."
	local line
	while read -r line; do
		[ -z "$line" ] || gives "${line%% *}" ${line#* } || return 1
	done
}
both() { "$1" && "$2"; }

t 'keys are made' make_keys

# --- heal=on ------------------------------------------------------------------------------------------------------------
begin
t 'an application works with sessions, login and keys' all_of <<-'END'
	0x0 init heal=on
	0x0*same getinfo
	0x0 slots
	0x0 open A
	0x0 open B ro
	0x0 login A 123456
	0x0 find A rsa rsa
	0x0 sign A rsa
	0x0 find A ec ec
	0x0 sign A ec
	0x0 find A aes aes secret
	0x0 encrypt A aes
	0x0 find A swapped swapped
	0x0 sign A swapped
	0x0 find A doubled doubled
	0x0 sign A doubled
END
t 'kanmond is restarted' restart_kanmond
t 'keys, sessions and login are there again' all_of <<-'END'
	0x0 sign A rsa
	0x0 encrypt A aes
	0x0 sign B ec
END
t 'the state of the sessions is the old one' all_of <<-'END'
	0x0*3*6 info A
	0x0*1*4 info B
END
t 'a key that wants a login for each use wants it as before' all_of <<-'END'
	0x0 find A each each
	0x0 begin A each
	0x101 end A
	0x0 begin A each
	0x0 login A 123456 context
	0x0 end A
	0x101 sign A each
END
t 'and the login that is kept is that of the user' eval 'restart_kanmond && gives "0x0*3*6" info A && gives 0x101 sign A each'
t 'an operation that had begun is gone, and the next one is not' eval "gives 0x0 begin A rsa && restart_kanmond && gives 0x91 end A && gives 0x0 sign A rsa"
worker_dies() { kill_role worker && sleep 0.5; }
t 'so it is after the worker died' eval 'worker_dies && gives 0x0 sign A ec && gives 0x0*rsa label B rsa'
swap() {
	directly --delete-object --type privkey --id 03 && directly --delete-object --type pubkey --id 03 &&
		import "$work/other.pem" swapped 03 && import "$work/rsa.pem" doubled 04 --no-public-key --force
}
swap_while_down() { stop_kanmond && { swap || { tail -n 5 "$work/direct.log" && false; }; } && start_kanmond; }
t 'keys are exchanged while the gateway is down' swap_while_down
t 'a key with the same names and another public half is not taken for it' gives 0x82 sign A swapped
t 'a key that is there twice is not guessed' gives 0x82 sign A doubled
t 'its neighbours are found all the same' all_of <<-'END'
	0x0 sign A rsa
	0x0 sign A ec
END
t 'a new search finds the new key' all_of <<-'END'
	0x0 find A swapped swapped
	0x0 sign A swapped
END
t 'a closed session does not come back' eval 'gives 0x0 close B && restart_kanmond && gives 0xb3 info B'
t 'a session that is gone is closed with CKR_OK, once' all_of <<-'END'
	0x0 close A
	0xb3 close A
END
t 'and its login went with the last session' all_of <<-'END'
	0x0 open A
	0x0*2*6 info A
	0x0 login A 123456
END
t 'a PIN that the application changes is the one that is kept' eval 'gives 0x0 setpin A 123456 654321 && restart_kanmond && gives "0x0*3*6" info A'
refused_logins() { cat "$LEDGER"/seg/*.kl | grep -c -e '"event":"login".*"CKR_PIN_INCORRECT"'; }
change_pin_behind() {
	stop_kanmond && { PIN=654321 directly --change-pin --new-pin 111111 || { tail -n 5 "$work/direct.log"; false; }; } && handed_over && start_kanmond
}
t 'the PIN is changed behind its back' change_pin_behind
one_login() { echo "$(refused_logins) refused" && [ "$(refused_logins)" -eq 1 ]; }
t 'the wrong PIN is tried once, and sessions come back without login' all_of <<-'END'
	0x0*2*6 info A
	0x0*2*6 info A
	0x82 sign A rsa
END
t 'once means once' one_login
t 'after a logout there is no login to bring back' eval 'gives 0x0 login A 111111 && gives 0x0 logout A && restart_kanmond && gives "0x0*2*6" info A'
t 'C_CloseAllSessions of what is gone is CKR_OK' eval 'restart_kanmond && gives 0x0 closeall && gives 0xb3 info A'
t 'CK_INFO is the same to the last byte, after a restart and after C_Finalize' all_of <<-'END'
	0x0*same getinfo
	0x0 finalize
	0x0 init
	0x0*same getinfo
END
t 'C_Finalize ends it' gives 0x0 finalize
t 'the application ends well' end

# --- heal=off, and a gateway that is away for longer than the lease ------------------------------------------------------
short_lease() { stop_kanmond && sed -i '1i lease = 1' "$work/gw/gateway/kanmond.conf" && start_kanmond; }
t 'a lease of one second' short_lease
begin
t 'an application without healing' all_of <<-'END'
	0x0 init
	0x0 slots
	0x0*present slotinfo
	0x0 open A
	0x0 open B
	0x0 login A 111111
	0x0 find A rsa rsa
	0x0 sign A rsa
END
t 'kanmond goes away' stop_kanmond
t 'after the lease it learns of it' all_of <<-'END'
	0x30 sign A rsa
	0x0*absent slotinfo
	0xe0 open C
	0x30 login A 111111
END
t 'kanmond comes back' start_kanmond
t 'the sessions are gone, and closing them succeeds' all_of <<-'END'
	0xb3 sign A rsa
	0xb3 login A 111111
	0x0 close A
END
t 'new ones can be had without C_Finalize, and the old key means nothing' all_of <<-'END'
	0x0*present slotinfo
	0x0 open C
	0xb3 info B
	0x0 close B
	0x0 login C 111111
	0x82 sign C rsa
	0x0 find C rsa rsa
	0x0 sign C rsa
END
t 'a forked child without inheritance is no application' gives '0x190, 0x190, 0x0' 'fork info C;finalize;init'
t 'a module that tells of no slot events says so at once, as it does directly' gives 0x54 waitevent
t 'and the parent goes on' all_of <<-'END'
	0x0 sign C rsa
	0x0 finalize
END
t 'it ends well too' end

# --- fork=inherit ---------------------------------------------------------------------------------------------------------
begin
t 'an application that its children inherit' all_of <<-'END'
	0x0 init fork=inherit
	0x0 slots
	0x0 open A
	0x0 login A 111111
	0x0 find A rsa rsa
	0x0 sign A rsa
	0x0 find A ec ec
	0x0 sign A ec
END
t 'a child signs with the handles that it was born with' gives '0x0, 0x0, 0x0*3*6, 0x0' 'fork sign A rsa;sign A ec;info A;finalize'
t 'the parent does not notice' gives 0x0 sign A rsa
t 'a child is initialised from its birth, and can end that and begin anew' gives '0x191, 0x0, 0x190, 0x0, 0xb3, 0x0' 'fork init;finalize;info A;init;info A;finalize'
t 'what a child closes is closed for the child' gives '0x0, 0xb3' 'fork close A;info A'
t 'and not for the parent' gives "0x0*3*6" info A
t 'without heal the parent does not heal' eval 'restart_kanmond && gives 0xb3 info A && gives 0x0 close A && gives 0x0 finalize'
t 'it ends well as well' end
t 'the auditor finds the ledger whole' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
