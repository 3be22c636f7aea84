#!/bin/bash
# The CA's side of the browser tests, after `. GATEWAY/env` and in a folder of its own:
#
#	ca.sh keygen LABEL ID     a key pair, through the provider; waits for its approvals
#	ca.sh root                what the CA needs once the key `root-ca` is there: its certificate, a throwaway CA of the same name
#	ca.sh ask SERIAL NAME [OPTIONS]   a request made ahead for a server's certificate; prints its number
#	ca.sh sign SERIAL         the certificate itself, by OpenSSL: its C_Sign waits until that request is decided
#	ca.sh raw LABEL ID FILE   a signature over a file's bytes; waits
set -eu
source_dir=$(cd "$(dirname "$0")/../../.." && pwd)
export CA_DIR=$PWD/ca

p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$(cat "$PIN_FILE")" "$@"; }

root() {
	openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out throwaway.key
	openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out leaf.key
	cp "$source_dir/tools/root-ca.conf" .
	p11 --read-object --type pubkey --label root-ca -o root.der && openssl pkey -pubin -inform DER -in root.der -out root.pub
	openssl req -new -key throwaway.key -config root-ca.conf -sha384 -out throwaway.csr
	printf 'subjectKeyIdentifier = 0102030405060708090a0b0c0d0e0f1011121314\nbasicConstraints = critical,CA:true\n' >extensions
	openssl x509 -req -in throwaway.csr -signkey throwaway.key -sha384 -days 3650 -extfile extensions -out throwaway.crt
	openssl x509 -req -in throwaway.csr -CA throwaway.crt -CAkey throwaway.key -force_pubkey root.pub -sha384 -days 3650 \
		-extfile extensions -out root.crt
}

# issue SERIAL OPTIONS...: one run of `openssl ca`; the same serial gives the same TBSCertificate.
issue() {
	local serial=$1
	shift
	rm -rf "$CA_DIR" && mkdir "$CA_DIR" && : >"$CA_DIR/index.txt" && echo "$serial" >"$CA_DIR/serial"
	openssl ca -batch -config root-ca.conf -notext -startdate 20261101000000Z -enddate 20271101000000Z -extensions leaf_extensions \
		-in "$serial.csr" "$@"
}

ask() {
	local serial=$1 name=$2
	shift 2
	openssl req -new -key leaf.key -subj "/C=JP/O=Example/CN=$name" -config root-ca.conf -out "$serial.csr"
	issue "$serial" -cert throwaway.crt -keyfile throwaway.key -out "$serial.pre.crt" >&2
	kanmon request new --token "$TOKEN" --key root-ca --mechanism CKM_SHA384_RSA_PKCS --tbs-from "$serial.pre.crt" \
		--purpose "certificate of $name" --json "$@" | jq -r .id
}

sign() {
	export PKCS11_MODULE_PATH=$MODULE
	issue "$1" -engine pkcs11 -keyform engine -keyfile "pkcs11:token=$TOKEN;object=root-ca;type=private;pin-source=file:$PIN_FILE" \
		-cert root.crt -out "$1.crt"
}

command=$1
shift
case $command in
keygen) p11 --keypairgen --key-type rsa:2048 --label "$1" --id "$2" ;;
raw) p11 --sign --mechanism SHA256-RSA-PKCS --label "$1" --id "$2" -i "$3" -o "$3.sig" ;;
root | ask | sign) "$command" "$@" ;;
*) exit 2 ;;
esac
