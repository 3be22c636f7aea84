/*
 * What is signed, in words: contents that this browser decodes by itself. A content of a kind that it does not decode is
 * Unknown, never passed over.
 */
import { Unknown } from './bytes.js';

/** {input, kind, lines, facts} of data; null: it decodes to nothing that has words. Throws Unknown. */
export async function decodeContent(data) {
	if (data.length < 2 || (data[0] !== 0x30 && data[0] !== 0x31))
		return null;
	throw new Unknown('unknown.content');
}
