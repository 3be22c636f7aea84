/* What a person signs with (docs/statements.md 8): key files, cards, security keys. */
import { Bad, b64url, compare, concat, equal, need, unutf8, utf8 } from './bytes.js';
import * as ed25519 from './ed25519.js';
import { isBy, splitVkey } from './note.js';
import { sha256 } from './sha256.js';
import { flatEcdsa, readSpki, verifyEcdsa, verifyEd25519, verifyPkcs1, verifyPss } from './spki.js';

const hexBytes = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
const ED25519_HEADER = hexBytes('302a300506032b6570032100');

/* The one DER form of a key: all but its point. */
const FORMS = {
	ed25519: { header: ED25519_HEADER, length: 44 },
	p256: { header: hexBytes('3059301306072a8648ce3d020106082a8648ce3d03010703420004'), length: 91 },
	p384: { header: hexBytes('3076301006072a8648ce3d020106052b8104002203620004'), length: 120 },
	rsa: { header: hexBytes('30'), length: 0 },
};

const TYPES = {
	'kanmon/ecdsa-p256-sha256/v1': { form: 'p256', check: (k, m, s) => verifyEcdsa(k.spki, k.key, 'SHA-256', m, s) },
	'kanmon/ecdsa-p384-sha384/v1': { form: 'p384', check: (k, m, s) => verifyEcdsa(k.spki, k.key, 'SHA-384', m, s) },
	'kanmon/rsa-pss-sha256/v1': { form: 'rsa', check: (k, m, s) => verifyPss(k.spki, k.key, 'SHA-256', 32, m, s) },
	'kanmon/rsa-pkcs1-sha256/v1': { form: 'rsa', check: (k, m, s) => verifyPkcs1(k.spki, k.key, 'SHA-256', m, s) },
	'kanmon/webauthn-es256/v1': {
		form: 'p256',
		webauthn: true,
		check: (k, m, s) => verifyEcdsa(k.spki, k.key, 'SHA-256', m, flatEcdsa(s, 32)),
	},
	'kanmon/webauthn-eddsa/v1': { form: 'ed25519', webauthn: true, check: (k, m, s) => verifyEd25519(k.key, m, s) },
};

function keyFits(form, spki, key) {
	const { header, length } = FORMS[form];
	need(compare(spki.subarray(0, header.length), header) === 0 && (length === 0 || spki.length === length), 'form.key');
	if (form === 'ed25519')
		need(ed25519.keyOk(key.pub), 'form.key');
	if (form === 'rsa')
		need(key.kind === 'rsa' && key.bits >= 2048 && key.bits <= 8192 && key.bits % 8 === 0 && (key.n & 1n) === 1n &&
			(key.e & 1n) === 1n && key.e >= 65537n && key.e < 2n ** 64n, 'form.key');
}

/** The key of a custodian's or auditor's line: {name, id, type, spki, spkiSha256}. Bad('form.vkey' | 'form.key'). */
export async function parseSigner(vkey) {
	const { name, id, typed } = await splitVkey(vkey);
	if (typed[0] === 0x01) {
		need(typed.length === 33 && ed25519.keyOk(typed.subarray(1)), 'form.key');
		const spki = concat(ED25519_HEADER, typed.subarray(1));
		return { name, id, type: null, spki, key: { pub: typed.subarray(1) }, spkiSha256: await sha256(spki) };
	}
	const end = typed.indexOf(0);
	need(typed[0] === 0xff && end > 0, 'form.vkey');
	const type = unutf8(typed.subarray(1, end));
	need(Object.hasOwn(TYPES, type), 'form.vkey');
	const spki = typed.subarray(end + 1);
	const key = readSpki(spki);
	keyFits(TYPES[type].form, spki, key);
	return { name, id, type: TYPES[type], spki, key, spkiSha256: await sha256(spki) };
}

/** Whether the point of an EC key is on its curve, which only importing it says. */
export async function checkPoint(signer) {
	if (signer.key.kind === 'ec')
		await verifyEcdsa(signer.spki, signer.key, 'SHA-256', new Uint8Array(1), new Uint8Array(2 * signer.key.curve.bytes));
}

/* ---- WebAuthn ----------------------------------------------------------------------------------------------------- */

const UP = 0x01, UV = 0x04, BE = 0x08, BS = 0x10, AT = 0x40, ED = 0x80;

function splitAssertion(bytes) {
	const parts = [];
	let at = 0;
	while (parts.length < 3) {
		need(at + 2 <= bytes.length, 'evidence.form');
		const end = at + 2 + bytes[at] * 256 + bytes[at + 1];
		need(end <= bytes.length, 'evidence.form');
		parts.push(bytes.subarray(at + 2, end));
		at = end;
	}
	need(at === bytes.length, 'evidence.form');
	return parts;
}

async function dataFits(data, place) {
	need(data.length >= 37 && equal(data.subarray(0, 32), await sha256(place.rpId)), 'evidence.rp');
	const flags = data[32];
	need((flags & UP) !== 0 && (flags & UV) !== 0, 'evidence.unverified');
	need((flags & (BE | BS)) === 0, 'evidence.synced');
	need((flags & AT) === 0 && ((flags & ED) !== 0) === (data.length > 37), 'evidence.form');
}

/* The limited algorithm of W3C WebAuthn 5.8.1.2: no parser stands between what was signed and what it is taken for. */
function clientFits(client, challenge, place) {
	const want = utf8(`{"type":"webauthn.get","challenge":"${challenge}","origin":"${place.origin}","crossOrigin":false`);
	need(client.length > want.length && equal(client.subarray(0, want.length), want), 'evidence.client');
	const rest = String.fromCharCode(...client.subarray(want.length));
	need(rest === '}' || (rest.startsWith(',') && rest.endsWith('}')), 'evidence.client');
	need(!rest.includes('topOrigin'), 'evidence.client');
}

/* The place whose RP id and origin are those of the assertion; else what is wrong with the last one tried. */
async function findPlace(data, client, text, places) {
	const challenge = b64url(await sha256('kanmon/webauthn/v1\n', text));
	let wrong = new Bad('evidence.noplace');
	for (const place of places) {
		try {
			await dataFits(data, place);
			clientFits(client, challenge, place);
			return place;
		} catch (error) {
			wrong = error;
		}
	}
	throw wrong;
}

/* Whether the evidence is independent; Bad where it is no signature over the text. */
async function verifyEvidence(signer, text, signature, places) {
	if (signer.type === null) {
		need(await ed25519.verify(signer.key.pub, utf8(text), signature), 'signature', { name: signer.name });
		return true;
	}
	if (!signer.type.webauthn) {
		need(await signer.type.check(signer, utf8(text), signature), 'signature', { name: signer.name });
		return true;
	}
	const [data, client, inner] = splitAssertion(signature);
	const place = await findPlace(data, client, text, places);
	need(await signer.type.check(signer, concat(data, await sha256(client)), inner), 'signature', { name: signer.name });
	return place.independent;
}

/**
 * Which of the people ([{name, person, key: from parseSigner()}]) signed a parsed note: [{name, person, independent}],
 * once for each key, in the policy's order. A line of a key of theirs that does not verify throws Bad.
 */
export async function evidenceOf(note, people, places) {
	const signed = [];
	for (const one of people) {
		const lines = note.lines.filter((line) => isBy(line, one.key));
		let independent = false;
		for (const line of lines)
			independent = await verifyEvidence(one.key, note.text, line.signature, places) || independent;
		if (lines.length > 0)
			signed.push({ name: one.name, person: one.person, independent });
	}
	return signed;
}
