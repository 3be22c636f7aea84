/* TSTInfo, what a time stamp says (RFC 3161 2.4.2), read strictly: for tokens, and for contents in words. */
import { concat, need } from './bytes.js';
import { each, inside, INTEGER, integer, OCTET_STRING, OID, oid, SEQUENCE, truth } from './der.js';
import { ascii, timeLine } from './parts.js';

const BOOLEAN = 0x01;
const GENERALIZED_TIME = 0x18;

/* {text, ms} of a GeneralizedTime that may have a fraction of a second, which in DER does not end in 0. */
function fineTime({ tag, inner }) {
	const match = /^\d{14}(\.\d{0,7}[1-9])?Z$/.exec(ascii(inner));
	need(tag === GENERALIZED_TIME && match !== null, 'form.der');
	const { text, ms } = timeLine({ tag, inner: concat(inner.subarray(0, 14), inner.subarray(-1)) });
	const fraction = match[1] ?? '';
	return { text: text.replace('Z', `${fraction}Z`), ms: ms + Number(fraction.slice(1, 4).padEnd(3, '0')) };
}

function accuracyOf(element) {
	return inside(element.inner, (der) => [['s', INTEGER], ['ms', 0x80], ['us', 0x81]].flatMap(([unit, tag]) => {
		const part = der.maybe(tag);
		const value = part === null ? 0n : integer(part.inner);
		need(value >= 0n && value < 2n ** 63n, 'form.der');
		return part === null ? [] : [`${value}${unit}`];
	}));
}

/* A default is not written in DER. */
function orderingOf(element) {
	need(element === null || truth(element.inner), 'form.der');
	return element !== null;
}

/**
 * {version, policy (dotted), hash (an AlgorithmIdentifier, whole), imprint, serial and nonce (contents of INTEGERs; no nonce:
 * null), time: {text, ms}, accuracy: words, ordering, tsa (a GeneralName, whole, or null), extensions (each the content of
 * its SEQUENCE)}. Bad('form.der') for anything else.
 */
export function readTst(bytes) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const version = integer(der.take(INTEGER).inner);
		const policy = oid(der.take(OID).inner);
		const [hash, imprint] = der.inside(SEQUENCE, (said) => [said.take(SEQUENCE).whole, said.take(OCTET_STRING).inner]);
		const serial = der.take(INTEGER).inner;
		const time = fineTime(der.any());
		const accuracy = der.peek() === SEQUENCE ? accuracyOf(der.any()) : [];
		const ordering = orderingOf(der.maybe(BOOLEAN));
		const nonce = der.maybe(INTEGER)?.inner ?? null;
		const tsa = der.maybe(0xa0)?.inner ?? null;
		const list = der.maybe(0xa1);
		return { version, policy, hash, imprint, serial, time, accuracy, ordering, nonce, tsa,
			extensions: list === null ? [] : each(list.inner, (one) => one.take(SEQUENCE).inner) };
	}));
}
