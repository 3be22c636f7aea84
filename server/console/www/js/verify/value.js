/* Values as statements write them (docs/statements.md 2), so that nothing in them can deceive. */
import { utf8 } from './bytes.js';
import { sha256b64 } from './sha256.js';

const HIDDEN = (`0-1f 7f-a0 ad 300-36f 483-489 591-5c7 600-605 610-61c 64b-65f 115f-1160 1680 17b4-17b5 180b-180f 1ab0-1aff
	1dc0-1dff 2000-200f 2028-202f 205f-206f 20d0-20ff 3000 302a-302f 3099-309a 3164 d800-f8ff fdd0-fdef fe00-fe0f fe20-fe2f
	feff ffa0 fff0-fffb fffe-ffff 1bca0-1bca3 1d173-1d17a e0000-10ffff`).split(/\s+/).map((range) => {
	const [from, to] = range.split('-').map((word) => parseInt(word, 16));
	return { from, to: to ?? from };
});

function isHidden(point) {
	return (point & 0xfffe) === 0xfffe || HIDDEN.some(({ from, to }) => point >= from && point <= to);
}

/* The pieces of a text, each as it is written. */
function pieces(text, specials) {
	const points = [...text];
	return points.map((c, n) => {
		if (isHidden(c.codePointAt(0)) || (c === ' ' && (n === 0 || n === points.length - 1)))
			return `\\u{${c.codePointAt(0).toString(16)}}`;
		return c === '\\' || specials.includes(c) ? `\\${c}` : c;
	});
}

/** A text with what could deceive written by number. */
export const escaped = (text, specials = '') => pieces(text, specials).join('');

/** The value of a line: `none` where there is none, cut with its hash where it is over 1,024 bytes. */
export async function value(text) {
	if (text === undefined || text === '')
		return 'none';
	const list = pieces(text, '');
	if (utf8(list.join('')).length <= 1024)
		return list.join('');
	const tail = `... sha256 ${await sha256b64(text)}`;
	const whole = utf8(list.join(''));
	let end = 1024 - tail.length;
	while ((whole[end] & 0xc0) === 0x80)
		end--;
	return new TextDecoder().decode(whole.subarray(0, end)) + tail;
}

/** Whether a reason or the like may stand in a line as it is. */
export function isValue(text, max = 1024) {
	return text.length > 0 && utf8(text).length <= max && !/^ | $/.test(text) && ![...text].some((c) => isHidden(c.codePointAt(0)));
}

/** [name, text] of each scalar of a JSON value, in order of names' bytes. */
export function flatten(tree, name = '') {
	if (Array.isArray(tree))
		return tree.flatMap((item, n) => flatten(item, `${name}.${n}`));
	if (tree !== null && typeof tree === 'object')
		return Object.keys(tree).sort().flatMap((key) => flatten(tree[key], name === '' ? key : `${name}.${key}`));
	return [[name, tree]];
}
