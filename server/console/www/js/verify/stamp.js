/*
 * A time stamp token (RFC 3161) over bytes, judged at its own time as the auditor's program judges it (docs/ledger.md 7a): it
 * is about them, its signer's certificate is for time stamps alone and chains to a pinned root, and the signature verifies.
 * Contradictions are Bad; a form that is out of the ordinary is Unknown, never passed over.
 */
import { Bad, equal, need, Unknown, unutf8 } from './bytes.js';
import { checkChain, isForStamps, readChain, rootIn, signedBy, SIGNATURES } from './certificate.js';
import { plainAlgorithm, readSigned, valueOf } from './cms.js';
import { each, inside, integer, OCTET_STRING, OID, oid, SEQUENCE } from './der.js';
import { digest } from './sha256.js';
import { readTst } from './tst.js';

const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const CONTENT_TYPE = '1.2.840.113549.1.9.3', MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const CERTIFICATE_ID = '1.2.840.113549.1.9.16.2.12', CERTIFICATE_ID_2 = '1.2.840.113549.1.9.16.2.47';

const HASHES = { '1.3.14.3.2.26': 'SHA-1', '2.16.840.1.101.3.4.2.1': 'SHA-256', '2.16.840.1.101.3.4.2.2': 'SHA-384', '2.16.840.1.101.3.4.2.3': 'SHA-512' };
const IMPRINTS = { sha256: 'SHA-256', sha512: 'SHA-512' };

function known(truth) {
	if (!truth)
		throw new Unknown('unknown.stamp');
}

/* ---- what it says --------------------------------------------------------------------------------------------------- */

async function checkSaid(tst, bytes, want) {
	const hash = inside(tst.hash, plainAlgorithm);
	need(tst.version === 1n && HASHES[hash] === IMPRINTS[want.alg] && equal(tst.imprint, await digest(IMPRINTS[want.alg], bytes)), 'time.imprint');
	need(tst.nonce !== null && integer(tst.nonce) === BigInt(`0x${want.nonce}`), 'time.nonce');
	need(tst.time.ms === want.genTime && tst.policy === want.policy, 'time.said');
	for (const extension of tst.extensions)
		inside(extension, (der) => {
			der.take(OID);
			known(der.maybe(0x01) === null); /* a critical one */
			der.take(OCTET_STRING);
		});
}

/* ---- who signed it -------------------------------------------------------------------------------------------------- */

/* One ESSCertID: does it name the certificate? */
async function names(id, certificate, usual) {
	const { hash, value, by } = inside(id, (der) => ({ hash: der.peek() === SEQUENCE ? HASHES[plainAlgorithm(der)] : usual,
		value: der.take(OCTET_STRING).inner, by: der.done ? null : der.take(SEQUENCE).inner }));
	known(hash !== undefined);
	if (by !== null)
		inside(by, (der) => {
			const issuer = der.inside(SEQUENCE, (list) => list.take(0xa4).inner);
			known(equal(issuer, certificate.issuer) && equal(der.take(0x02).inner, certificate.serial));
		});
	return equal(value, await digest(hash, certificate.whole));
}

/* Attributes that name the signer's certificate, by hash: the first of each is it, and others are not there. */
async function checkNamed(list, certificate) {
	let named = 0;
	for (const [attribute, usual] of [[CERTIFICATE_ID, 'SHA-1'], [CERTIFICATE_ID_2, 'SHA-256']]) {
		const value = valueOf(list, attribute, SEQUENCE);
		if (value === undefined)
			continue;
		const ids = inside(value.inner, (der) => {
			const all = each(der.take(SEQUENCE).inner, (one) => one.take(SEQUENCE).inner);
			der.maybe(SEQUENCE); /* policies */
			return all;
		});
		known(ids.length === 1);
		need(await names(ids[0], certificate, usual), 'time.certificate');
		named++;
	}
	need(named > 0, 'time.certificate');
}

async function checkSigner(signed, chain) {
	const { signer, content } = signed;
	const [leaf] = chain;
	known(equal(signer.issuer, leaf.issuer) && equal(signer.serial, leaf.serial));
	known(signed.certificates.every((one) => chain.some((other) => equal(other.whole, one))));
	const hash = HASHES[signer.digest];
	const said = SIGNATURES[signer.algorithm] ?? { '1.2.840.113549.1.1.1': { kind: 'rsa', hash }, '1.2.840.10045.2.1': { kind: 'ec', hash } }[signer.algorithm];
	known(hash !== undefined && hash !== 'SHA-1' && said !== undefined && said.hash === hash);
	const type = valueOf(signer.list, CONTENT_TYPE, OID);
	const over = valueOf(signer.list, MESSAGE_DIGEST, OCTET_STRING);
	known(type !== undefined && oid(type.inner) === TST_INFO && over !== undefined);
	need(equal(over.inner, await digest(hash, content)), 'time.signature');
	need(await signedBy(leaf.spki, said, signer.attributes, signer.signature), 'time.signature');
	await checkNamed(signer.list, leaf);
}

/* The TSA that the token names, if it names one, is its signer. */
function checkTsa(tst, leaf) {
	known(tst.tsa === null || inside(tst.tsa, (der) => equal(der.take(0xa4).inner, leaf.subject)));
}

async function judge(token, bytes, want, pem, roots) {
	const signed = readSigned(token);
	known(signed.type === TST_INFO);
	const tst = readTst(signed.content);
	await checkSaid(tst, bytes, want);
	const all = readChain(unutf8(pem));
	const root = await rootIn(all, roots);
	need(root >= 0, 'time.root');
	const chain = all.slice(0, root + 1);
	known(root > 0 && equal(chain[root].issuer, chain[root].subject));
	await checkSigner(signed, chain);
	need(isForStamps(chain[0]) && chain[0].from <= tst.time.ms && Math.floor(tst.time.ms / 1000) * 1000 < chain[0].to, 'time.certificate');
	await checkChain(chain, Math.floor(tst.time.ms / 1000) * 1000);
	checkTsa(tst, chain[0]);
}

/**
 * Judges a token over bytes. `want`: {alg: 'sha256' | 'sha512', nonce: 16 hex digits, genTime: ms, policy: dotted}; `pem`: bytes
 * of its certificates; `roots`: base64 of the SHA-256 of those that are pinned. Throws Bad, of `time`, or Unknown.
 */
export async function judgeToken(token, bytes, want, pem, roots) {
	try {
		await judge(token, bytes, want, pem, roots);
	} catch (error) {
		if (error instanceof Bad && !(error instanceof Unknown) && !error.why.startsWith('time.'))
			throw new Unknown('unknown.stamp');
		throw error;
	}
}
