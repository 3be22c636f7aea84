#!/bin/bash
# Java's SunPKCS11, directly and through a gateway: keytool makes a CA and signs with it, jarsigner signs, a program with
# threads signs and decrypts; OpenSSL checks, and the JDK's own providers, which never see the HSM.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "the JVM handles its own SIGSEGV, and does not start with a sanitizer preloaded"
. "$source_dir/tests/clients/both.sh"
two_ways
each_way() { printf 'name = hsm\nlibrary = %s\nslotListIndex = 0\n' "$MODULE" >p11.cfg; }
java_options='-J-Xshare:auto -J-XX:TieredStopAtLevel=1'
in_token="-keystore NONE -storetype PKCS11 -storepass:file $PIN_FILE -providerClass sun.security.pkcs11.SunPKCS11 -providerArg p11.cfg"
key_tool() { keytool $java_options "$@" $in_token; }
more_normal() { grep -v -e '\(..:\)\{8\}' -e '^Warning' -e 'Creation date' -e 'Valid from' -e 'Serial number'; }

cd "$work/direct" || exit 99
mkdir classes && head -c 10000 /dev/urandom >classes/data && echo text >classes/text
jar --create --file unsigned.jar -C classes .
cp -r ./* "$work/gateway" && cd "$work" || exit 99
makes() { silently key_tool -genkeypair -alias "$1" -dname "CN=java $1" -validity 30 "${@:2}"; }
both 'keytool makes a CA with an RSA key' makes ca -keyalg RSA -keysize 2048 -ext bc:c=ca:true -ext ku:c=keyCertSign,cRLSign,digitalSignature
both 'and a key pair on P-384' makes ec -keyalg EC -groupname secp384r1
asks() { key_tool -certreq -alias ec -file ec.csr; }
both 'a request is signed' silently asks
both 'and verifies' says 'verify OK' openssl req -in ec.csr -noout -verify
signs() { silently key_tool -gencert -alias ca -infile ec.csr -outfile ec.crt -validity 20 -ext san=dns:java.example -ext ku:c=digitalSignature -rfc; }
both 'the CA signs the request' signs
exports() { key_tool -exportcert -rfc -alias ca >ca.crt 2>said || { cat ca.crt said && false; }; }
both 'its certificate is read' exports
both "OpenSSL verifies the CA's own signature" openssl verify -check_ss_sig -CAfile ca.crt ca.crt
both 'and what it signed' openssl verify -CAfile ca.crt ec.crt
text() { openssl x509 -in "$1" -noout -text -certopt no_pubkey,no_sigdump,no_validity,no_serial | grep -v '..:..:..:..'; }
both 'which says the same' text ec.crt
imports() { cat ec.crt ca.crt >chain && silently key_tool -importcert -noprompt -alias ec -file chain; }
both 'the certificate goes to its key, with its chain' imports
listed() { key_tool -list -v -alias ec 2>&1 | grep -E 'Entry type|chain length|Owner|Issuer|DNSName'; }
both 'it is listed' listed
both 'with both certificates' says 'chain length: 2' listed

jar_signs() { cp unsigned.jar signed.jar && silently jarsigner $java_options $in_token -sigfile SIGNED signed.jar "$1" "${@:2}"; }
jar_verifies() {
	rm -rf META-INF && jar --extract --file signed.jar META-INF && (cat ca.crt ec.crt >known) &&
		openssl cms -verify -binary -inform DER -in META-INF/SIGNED."$1" -content META-INF/SIGNED.SF -CAfile known -purpose any -out back &&
		cmp back META-INF/SIGNED.SF && jarsigner $java_options -verify signed.jar | grep -e verified
}
both 'jarsigner signs by RSA' jar_signs ca
both 'OpenSSL and jarsigner verify that' jar_verifies RSA
both 'jarsigner signs by EC' jar_signs ec -digestalg SHA-384
both 'OpenSSL and jarsigner verify that, too' jar_verifies EC
threads=${KMN_TEST_LONG:+32} rounds=${KMN_TEST_LONG:+100}
signers() { java -Xshare:auto "$source_dir/tests/clients/Signers.java" p11.cfg "$PIN_FILE" "${threads:-16}" "${rounds:-6}" ca ec; }
both 'threads sign and decrypt side by side' signers
deleted() { silently key_tool -delete -alias ec && ! quietly key_tool -exportcert -alias ec; }
both 'a key is deleted with its certificate' deleted
two_ways_end
