/*
 * What an instruction leads to, made again from the records that prove it: the whole certificate, CRL or request, of what
 * was signed and of the HSM's signature over it. And how such bytes are written for others to read.
 */
import { b64, concat, need, unb64 } from './verify/bytes.js';
import { decodeContent } from './verify/content.js';
import { BIT_STRING, inside, INTEGER, SEQUENCE } from './verify/der.js';
import { get } from './verify/record.js';

/* Of a request, which names no algorithm of its own: DER by the mechanism that signed it. */
const algorithms = {
	CKM_SHA256_RSA_PKCS: '300d06092a864886f70d01010b0500', CKM_SHA384_RSA_PKCS: '300d06092a864886f70d01010c0500',
	CKM_SHA512_RSA_PKCS: '300d06092a864886f70d01010d0500', CKM_ECDSA_SHA256: '300a06082a8648ce3d040302',
	CKM_ECDSA_SHA384: '300a06082a8648ce3d040303', CKM_ECDSA_SHA512: '300a06082a8648ce3d040304', CKM_EDDSA: '300506032b6570',
};

/* By what was signed: the name of the whole, and its label in PEM. */
const wholes = {
	'x509-tbscertificate': 'certificate', 'x509-tbscertlist': 'crl', 'pkcs10-certificationrequestinfo': 'certificate-request',
};
const labels = { certificate: 'CERTIFICATE', crl: 'X509 CRL', 'certificate-request': 'CERTIFICATE REQUEST', 'public-key': 'PUBLIC KEY' };

function element(tag, ...parts) {
	const content = concat(...parts);
	const octets = [];

	for (let left = content.length; left > 0; left = Math.floor(left / 256))
		octets.unshift(left % 256);
	return concat(Uint8Array.of(tag, ...content.length < 0x80 ? [content.length] : [0x80 | octets.length, ...octets]), content);
}

/* r and s as the HSM gives them, as X.509 has them. */
function pair(signature) {
	const number = (half) => {
		const from = half.findIndex((byte) => byte !== 0);
		const bytes = from < 0 ? Uint8Array.of(0) : half.subarray(from);
		return element(INTEGER, bytes[0] < 0x80 ? bytes : concat(Uint8Array.of(0), bytes));
	};
	const half = signature.length / 2;

	return element(SEQUENCE, number(signature.subarray(0, half)), number(signature.subarray(half)));
}

/* TBSCertificate and TBSCertList name their algorithm: the first SEQUENCE in them. */
function ownAlgorithm(signed) {
	let found = null;

	inside(signed, (outer) => outer.inside(SEQUENCE, (der) => {
		while (!der.done) {
			const { tag, whole } = der.any();
			found ??= tag === SEQUENCE ? whole : null;
		}
	}));
	need(found !== null, 'form.der');
	return found;
}

/* What was signed, by name, and its lines in words; null: nothing that has words, or more than this browser reads. */
export async function contentOf(signed) {
	try {
		return await decodeContent(signed);
	} catch {
		return null;
	}
}

/* Its lines as those of a statement, for content.js. */
export const contentStatement = ({ input, lines }) => ({ lines: [{ key: 'input-kind', value: input }, ...lines.map((value) => ({ key: 'input', value }))] });

/*
 * {form, bytes, content} of a signature that the records hold (facts.js); null: they hold none. `content`: {input, lines}
 * of what was signed, or null.
 */
export async function wholeOf(facts) {
	const end = facts.ends.findLast((one) => one.body.rv === 0);
	const signed = facts.blobs.get(get(facts.call, 'in', 'sha256'));
	const out = get(end?.body, 'out', 'b64');

	if (signed === undefined || out === undefined || get(facts.call, 'norm') === undefined)
		return null;
	const mechanism = get(facts.call, 'mech', 'name');
	const content = await contentOf(signed);
	const form = wholes[content?.input] ?? 'signature';
	if (form === 'signature' || (form === 'certificate-request' && algorithms[mechanism] === undefined))
		return { form: 'signature', bytes: unb64(out), content };
	const signature = get(facts.call, 'norm', 'scheme') === 'ecdsa' ? pair(unb64(out)) : unb64(out);
	const algorithm = form === 'certificate-request' ? Uint8Array.from(algorithms[mechanism].match(/../g), (two) => parseInt(two, 16)) : ownAlgorithm(signed);
	return { form, content, bytes: element(SEQUENCE, signed, algorithm, element(BIT_STRING, Uint8Array.of(0), signature)) };
}

/* null: that form is not written in PEM. */
export function pem(form, bytes) {
	const label = labels[form];

	return label === undefined ? null : `-----BEGIN ${label}-----\n${b64(bytes).replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;
}
