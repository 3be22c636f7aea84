#!/bin/bash
# Clients that a whole gateway refuses: it lives on, and its ledger says who was refused and why.
. "${srcdir:-.}/tests/tap.sh"
"$source_dir/tools/sandbox" up "$work/gw" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
gateway=$(sed -n 's/^gateway.*"\(127[^"]*\)".*/\1/p' "$KANMON_CONFIG")
port=${gateway##*:}
own=$(cd "${KANMON_CONFIG%/*}" && pwd)/$(sed -n 's/^certificate = "\(.*\)"/\1/p' "$KANMON_CONFIG")
own_key=$(cd "${KANMON_CONFIG%/*}" && pwd)/$(sed -n 's/^key = "\(.*\)"/\1/p' "$KANMON_CONFIG")

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout strange.key -out strange.crt -days 1 \
	-subj /CN=stranger >strange.log 2>&1
# tls ARGUMENT...: a TLS client that does what it is told and waits for what the gateway says.
tls() { sleep 1 | timeout 10 openssl s_client -connect "$gateway" -alpn kanmon/1 -quiet "$@" 2>&1 || true; }
send_plain() { printf '%b' "$1" >"/dev/tcp/127.0.0.1/$port"; }
served() { KANMON_CONFIG=$KANMON_CONFIG kanmon status; }

t 'an unknown certificate gets an alert' says 'alert unknown ca' tls -cert strange.crt -key strange.key
t 'and another client is served' served
# The client's own, pinned key in a certificate of other dates: START END FILE.
dated() {
	openssl req -new -key "$own_key" -subj /CN=app -out dated.csr 2>/dev/null && : >index.txt && echo 01 >serial &&
		printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' >dated.conf &&
		openssl ca -batch -config dated.conf -selfsign -keyfile "$own_key" -in dated.csr -startdate "$1" -enddate "$2" \
			-out "$3" -notext >dated.log 2>&1
}
dated 20200101000000Z 20200201000000Z expired.crt
dated "$(($(date +%Y) + 5))0101000000Z" "$(($(date +%Y) + 6))0101000000Z" future.crt
t 'an expired certificate of the right key gets an alert' says 'alert certificate expired' tls -cert expired.crt -key "$own_key"
t 'one that is not valid yet too' says 'alert' tls -cert future.crt -key "$own_key"
t 'and another client is served again' served
t 'no certificate gets an alert' says 'alert' tls
t 'TLS 1.2 gets an alert' says 'alert protocol version' tls -tls1_2 -cert "$own" -key "$own_key"
t 'another protocol gets an alert' says 'alert no application protocol' \
	bash -c "openssl s_client -connect $gateway -alpn h2 -cert '$own' -key '$own_key' </dev/null 2>&1"
t 'plain text is dropped' send_plain 'GET / HTTP/1.1\r\n\r\n'
# frame BYTES: what the right client says after its handshake; it does not hang up by itself
frame() { (printf '%b' "$1" && sleep 1) | timeout 2 openssl s_client -connect "$gateway" -alpn kanmon/1 -quiet -cert "$own" \
	-key "$own_key" 2>&1 || true; }
t 'an oversized frame is dropped' frame '\x7f\xff\xff\xff\x03'
t 'a truncated frame is dropped' frame '\x00\x00\x00\x10\x02\x00\x01'
t 'a frame out of its place is dropped' frame '\x00\x00\x00\x01\x04'
t 'and another client is served still' served
"$build/tests/unit/gate/talk" >talk.log
failed=$?
# the cases of talk become ours
while read -r line; do
	says=${line#*- }
	case $line in
	ok*) t "$says" true ;;
	'not ok'*) t "$says" false ;;
	*) echo "# $line" ;;
	esac
done <talk.log
t 'all of talk was told' [ $failed -eq 0 ]
t 'and another client is served to the end' served
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null

# recorded REASON: a channel.reject of the ledger has it
find "$LEDGER" -type f -exec grep -a -h '"channel.reject"' {} + >refusals
recorded() { grep -q -e "\"reason\":\"$1" refusals || { cat refusals && false; }; }
for reason in 'unknown certificate' 'expired certificate' 'certificate not yet valid' 'no certificate' 'TLS version is not 1.3' 'does not offer kanmon/1' 'not TLS' \
	'KMN_F_CALL: length is over its limit' 'KMN_F_JOIN: message ends early' 'KMN_F_WATCH: message is not in the form' \
	'a request number with other bytes' 'a request number outside the window' 'a request number whose answer was' \
	'joins an application without knowing its secret'; do
	t "the ledger has the refusal: $reason" recorded "$reason"
done
t 'and verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
