#!/bin/bash
# NSS through a sandbox: modutil registers the module, certutil makes a CA and a certificate with keys in the HSM;
# OpenSSL checks them.
. "${srcdir:-.}/tests/tap.sh"
"$source_dir/tools/sandbox" up "$work/gw" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
mkdir db
head -c 200 /dev/urandom >noise
nss() { certutil -d sql:db "$@" </dev/null; }

t 'a database is made' certutil -N -d sql:db --empty-password
t 'modutil registers the module' modutil -dbdir sql:db -force -add kanmon -libfile "$MODULE"
t 'and shows its token' says "Token Name: $TOKEN" modutil -dbdir sql:db -list kanmon
t 'certutil makes a CA with an RSA key in the HSM' bash -c "printf 'y\n0\ny\n' | certutil -S -d sql:db -h '$TOKEN' -f '$PIN_FILE' -n ca -s CN=nss-ca \
	-x -t CTu,Cu,Cu -k rsa -g 2048 -m 1 -v 12 -Z SHA256 -2 -z noise"
t 'and a certificate by it, with an EC key in the HSM' nss -S -h "$TOKEN" -f "$PIN_FILE" -n leaf -s CN=nss-leaf -c "$TOKEN:ca" -t u,u,u \
	-k ec -q nistp256 -m 2 -v 6 -Z SHA256 -z noise
t 'keys are listed' says 'ca$' nss -K -h "$TOKEN" -f "$PIN_FILE"
for name in ca leaf; do
	nss -L -h "$TOKEN" -f "$PIN_FILE" -n "$TOKEN:$name" -a >$name.crt 2>/dev/null
done
t "OpenSSL verifies the CA's own signature" openssl verify -check_ss_sig -CAfile ca.crt ca.crt
t "and the leaf's" openssl verify -CAfile ca.crt leaf.crt
t 'certificates are listed' says 'leaf .*u,u,u' nss -L -h "$TOKEN" -f "$PIN_FILE"
t 'a certificate request is signed' nss -R -h "$TOKEN" -f "$PIN_FILE" -s CN=asked -k rsa -g 2048 -Z SHA384 -z noise -a -o asked.csr
t 'and verifies' bash -c "sed -n '/^-----BEGIN/,/^-----END/p' asked.csr >only.csr && openssl req -in only.csr -noout -verify"
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
