/* The small parts that contents are made of: names, numbers, times, algorithms (docs/statements.md 3). */
import { compare, hex, need, unutf8 } from './bytes.js';
import { each, inside, integer, NULL, OID, oid, SEQUENCE, SET } from './der.js';
import { timeOf } from './time.js';
import { escaped } from './value.js';

const NAMES = {
	'2.5.4.3': 'CN', '2.5.4.4': 'SN', '2.5.4.5': 'serialNumber', '2.5.4.6': 'C', '2.5.4.7': 'L', '2.5.4.8': 'ST', '2.5.4.9': 'STREET',
	'2.5.4.10': 'O', '2.5.4.11': 'OU', '2.5.4.12': 'title', '2.5.4.42': 'GN', '2.5.4.97': 'organizationIdentifier',
	'0.9.2342.19200300.100.1.1': 'UID', '0.9.2342.19200300.100.1.25': 'DC', '1.2.840.113549.1.9.1': 'emailAddress',
};

const ALGORITHMS = {
	'1.2.840.113549.1.1.5': 'sha1WithRSAEncryption', '1.2.840.113549.1.1.10': 'RSASSA-PSS', '1.2.840.113549.1.1.11': 'sha256WithRSAEncryption',
	'1.2.840.113549.1.1.12': 'sha384WithRSAEncryption', '1.2.840.113549.1.1.13': 'sha512WithRSAEncryption',
	'1.2.840.113549.1.1.14': 'sha224WithRSAEncryption', '1.2.840.10045.4.1': 'ecdsa-with-SHA1', '1.2.840.10045.4.3.1': 'ecdsa-with-SHA224',
	'1.2.840.10045.4.3.2': 'ecdsa-with-SHA256', '1.2.840.10045.4.3.3': 'ecdsa-with-SHA384', '1.2.840.10045.4.3.4': 'ecdsa-with-SHA512',
	'1.3.101.112': 'Ed25519', '1.3.101.113': 'Ed448', '1.3.14.3.2.26': 'sha1', '2.16.840.1.101.3.4.2.1': 'sha256',
	'2.16.840.1.101.3.4.2.2': 'sha384', '2.16.840.1.101.3.4.2.3': 'sha512', '2.16.840.1.101.3.4.2.4': 'sha224',
};

/** The text of bytes that are ASCII, as IA5String and PrintableString are. */
export function ascii(bytes) {
	need(bytes.every((byte) => byte < 0x80), 'form.der');
	return String.fromCharCode(...bytes);
}

function utf16(bytes) {
	need(bytes.length % 2 === 0, 'form.der');
	const units = Array.from({ length: bytes.length / 2 }, (_, n) => bytes[2 * n] * 256 + bytes[2 * n + 1]);
	need(units.every((unit) => unit < 0xd800 || unit > 0xdfff), 'form.der');
	return String.fromCharCode(...units);
}

/* Strings of characters, by tag. */
const STRINGS = { 0x0c: unutf8, 0x12: ascii, 0x13: ascii, 0x14: ascii, 0x16: ascii, 0x1e: utf16 };

function nameValue({ tag, inner }) {
	need(Object.hasOwn(STRINGS, tag), 'form.der');
	const text = STRINGS[tag](inner);
	return (text.startsWith('#') ? '\\' : '') + escaped(text, ',+"<>;=');
}

/** Content of a Name: parts from the last to the first. */
export function distinguishedName(content) {
	const rdns = each(content, (der) => {
		const parts = each(der.take(SET).inner, (set) => set.take(SEQUENCE));
		need(parts.length > 0 && parts.every((part, n) => n === 0 || compare(parts[n - 1].whole, part.whole) < 0), 'form.der');
		return parts.map((part) => inside(part.inner, (one) => {
			const type = oid(one.take(OID).inner);
			return `${NAMES[type] ?? type}=${nameValue(one.any())}`;
		})).reverse().join('+');
	});
	return rdns.reverse().join(',');
}

/** Content of an INTEGER as hex of its absolute value. */
export function serialText(content) {
	const value = integer(content);
	const text = (value < 0n ? -value : value).toString(16);
	need(text.length <= 128, 'form.der');
	return `${value < 0n ? '-' : ''}${text.length % 2 === 1 ? '0' : ''}${text}`;
}

/** {text, ms} of a UTCTime with seconds and Z, or a GeneralizedTime without fraction. */
export function timeLine({ tag, inner }) {
	const digits = ascii(inner);
	need(tag === 0x17 ? /^\d{12}Z$/.test(digits) : tag === 0x18 && /^\d{14}Z$/.test(digits), 'form.der');
	const full = tag === 0x18 ? digits : (Number(digits.slice(0, 2)) < 50 ? '20' : '19') + digits;
	const text = full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z');
	const ms = timeOf(text);
	need(ms !== null, 'form.der');
	return { text, ms };
}

/** An AlgorithmIdentifier, whole: its name, and its bytes where it has parameters. */
export function algorithmText(whole) {
	return inside(whole, (outer) => outer.inside(SEQUENCE, (der) => {
		const name = oid(der.take(OID).inner);
		const parameters = der.done ? null : der.any();
		const plain = parameters === null || (parameters.tag === NULL && parameters.inner.length === 0);
		return `${ALGORITHMS[name] ?? name}${plain ? '' : ` hex ${hex(whole)}`}`;
	}));
}
