/*
 * What an operator's file holds. Certificates, CRLs and certificate requests are {what is signed, algorithm, signature}:
 * of a finished one (a pre-certificate by a throwaway key, say) only the first part is taken.
 */
import { unb64 } from './verify/bytes.js';
import { BIT_STRING, each, inside, SEQUENCE } from './verify/der.js';

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----/g;

/* PEM or DER to DER: {bytes}, or what is {wrong} with it (a key of the words). */
function toDer(file) {
	if (file[0] === SEQUENCE)
		return { bytes: file };
	const blocks = [...new TextDecoder().decode(file).matchAll(BLOCK)];

	if (blocks.some(([, label]) => label.includes('PRIVATE KEY')))
		return { wrong: 'actions.file.private' };
	if (blocks.length !== 1)
		return { wrong: blocks.length === 0 ? 'actions.file.wrong' : 'actions.file.several' };
	return { bytes: unb64(blocks[0][2].replace(/\s/g, '')) };
}

const isWhole = (parts) => parts.length === 3 && [SEQUENCE, SEQUENCE, BIT_STRING].every((tag, i) => parts[i].tag === tag);

/* {bytes: what will be signed, whole: it was a finished structure}, or what is {wrong}. */
export function toBeSigned(file) {
	try {
		const { bytes, wrong } = toDer(file);
		if (wrong !== undefined)
			return { wrong };
		const parts = inside(bytes, (outer) => each(outer.take(SEQUENCE).inner, (der) => der.any()));
		return isWhole(parts) ? { bytes: parts[0].whole.slice(), whole: true } : { bytes, whole: false };
	} catch {
		return { wrong: 'actions.file.wrong' };
	}
}
