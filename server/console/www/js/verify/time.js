/* Times as texts that people sign have them: 2026-11-23T00:00:00Z. */

const LAST = 253402300799; /* of the year 9999 */

/** The text of ms since 1970, rounded down to the second. */
export function timeText(ms) {
	return new Date(Math.min(Math.floor(ms / 1000), LAST) * 1000).toISOString().replace('.000Z', 'Z');
}

/** ms since 1970; null: not such a text. */
export function timeOf(text) {
	const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : NaN;
	return Number.isNaN(ms) || timeText(ms) !== text ? null : ms;
}
