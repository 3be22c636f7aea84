/*
 * What a time stamp token is made of: CMS SignedData (RFC 5652) with one signer and signed attributes, over a content that
 * it holds. A form that is out of the ordinary is Bad('form.der'): who judges it says so.
 */
import { compare, need } from './bytes.js';
import { each, inside, INTEGER, integer, OCTET_STRING, OID, oid, SEQUENCE, SET } from './der.js';

const SIGNED_DATA = '1.2.840.113549.1.7.2';
const ATTRIBUTES_MAX = 64;

/** [{id, whole, values: [{tag, inner, whole}]}] of attributes, each the content of a SET OF in DER's order, none twice. */
export function readAttributes(content) {
	const list = each(content, (der) => {
		const { inner, whole } = der.take(SEQUENCE);
		return inside(inner, (one) => ({ whole, id: oid(one.take(OID).inner), values: each(one.take(SET).inner, (value) => value.any()) }));
	});
	need(list.length <= ATTRIBUTES_MAX && list.every((one, n) => n === 0 || compare(list[n - 1].whole, one.whole) < 0) &&
		new Set(list.map((one) => one.id)).size === list.length, 'form.der');
	return list;
}

/** The one value of an attribute, of this tag; undefined: there is no such attribute. Bad where it has another. */
export function valueOf(attributes, id, tag) {
	const attribute = attributes.find((one) => one.id === id);
	need(attribute === undefined || (attribute.values.length === 1 && attribute.values[0].tag === tag), 'form.der');
	return attribute?.values[0];
}

/** An AlgorithmIdentifier's OID, with parameters that say nothing: none, or NULL. */
export function plainAlgorithm(der) {
	return der.inside(SEQUENCE, (one) => {
		const id = oid(one.take(OID).inner);
		need(one.done || (one.peek() === 0x05 && one.any().inner.length === 0), 'form.der');
		return id;
	});
}

/* Issuer and serial number name the signer; version 3, by a key's identifier, does not. */
function readSigner(der) {
	return der.inside(SEQUENCE, (one) => {
		need(integer(one.take(INTEGER).inner) === 1n, 'form.der');
		const [issuer, serial] = one.inside(SEQUENCE, (name) => [name.take(SEQUENCE).whole, name.take(INTEGER).inner]);
		const digest = plainAlgorithm(one);
		const signed = one.take(0xa0);
		const algorithm = plainAlgorithm(one);
		const signature = one.take(OCTET_STRING).inner;
		one.maybe(0xa1); /* what is not signed says nothing */
		const attributes = Uint8Array.from(signed.whole); /* signed as the SET that they are (RFC 5652 5.4) */
		attributes[0] = SET;
		return { issuer, serial, digest, algorithm, signature, attributes, list: readAttributes(signed.inner) };
	});
}

/**
 * {type (OID of the content), content, certificates (each whole), signer: {issuer, serial, digest, algorithm: OIDs,
 * signature, attributes: bytes that are signed, list: of readAttributes()}} of a ContentInfo.
 */
export function readSigned(bytes) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (info) => {
		need(oid(info.take(OID).inner) === SIGNED_DATA, 'form.der');
		return info.inside(0xa0, (wrapped) => wrapped.inside(SEQUENCE, (der) => {
			need(integer(der.take(INTEGER).inner) === 3n, 'form.der');
			each(der.take(SET).inner, plainAlgorithm);
			const [type, content] = der.inside(SEQUENCE, (one) => [oid(one.take(OID).inner), one.inside(0xa0, (inner) => inner.take(OCTET_STRING).inner)]);
			const certificates = der.maybe(0xa0);
			der.maybe(0xa1); /* CRLs are not asked */
			const signers = each(der.take(SET).inner, readSigner);
			need(signers.length === 1, 'form.der');
			return { type, content, signer: signers[0],
				certificates: certificates === null ? [] : each(certificates.inner, (one) => one.take(SEQUENCE).whole) };
		}));
	}));
}
