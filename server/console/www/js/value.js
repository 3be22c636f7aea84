/*
 * A value as statements have it (docs/statements.md 2): what people type, written so that nothing in it can deceive.
 * Only the reason of a rejection is made here; all else arrives in this form.
 */

/* Not seen, changing the order of others, or joining the one before: shown by number. */
const hidden = [
	[0x00, 0x1f], [0x7f, 0xa0], [0xad, 0xad], [0x300, 0x36f], [0x483, 0x489], [0x591, 0x5c7], [0x600, 0x605],
	[0x610, 0x61c], [0x64b, 0x65f], [0x115f, 0x1160], [0x1680, 0x1680], [0x17b4, 0x17b5], [0x180b, 0x180f],
	[0x1ab0, 0x1aff], [0x1dc0, 0x1dff], [0x2000, 0x200f], [0x2028, 0x202f], [0x205f, 0x206f], [0x20d0, 0x20ff],
	[0x3000, 0x3000], [0x302a, 0x302f], [0x3099, 0x309a], [0x3164, 0x3164], [0xd800, 0xf8ff], [0xfdd0, 0xfdef],
	[0xfe00, 0xfe0f], [0xfe20, 0xfe2f], [0xfeff, 0xfeff], [0xffa0, 0xffa0], [0xfff0, 0xfffb], [0xfffe, 0xffff],
	[0x1bca0, 0x1bca3], [0x1d173, 0x1d17a], [0xe0000, 0x10ffff],
];

const isHidden = (code) => (code & 0xfffe) === 0xfffe || hidden.some(([first, last]) => code >= first && code <= last);

/* What somebody typed, as a value; '' where nothing is left of it. Composed first, as keyboards differ in that. */
export function asValue(typed) {
	const text = typed.normalize('NFC').trim();
	let value = '';

	for (const character of text) {
		const code = character.codePointAt(0);

		if (character === '\\')
			value += '\\\\';
		else
			value += isHidden(code) ? `\\u{${code.toString(16)}}` : character;
	}
	return value;
}

/* For a card that people read: backslashes before ordinary punctuation taken back, all other escapes left. */
export const readable = (value) => value.replace(/\\([\\,+"<>;=#])/g, '$1');
