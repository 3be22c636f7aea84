/* Times on the screen are UTC, as in the statement, the ledger and the tools; what is left is counted live. */
import { el } from './dom.js';
import { t } from './words.js';

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

export const instant = (text) => Date.parse(text ?? '');
export const utc = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
export const utcShort = (ms) => utc(ms).replace('T', ' ').replace(/:\d\dZ$/, ' UTC');

/* Between two times of a statement; null where one is none. */
export function daysBetween(from, to) {
	const days = (instant(to) - instant(from)) / DAY;

	return Number.isNaN(days) ? null : Math.round(days * 100) / 100;
}

/* 2 h 05 min, 4 min 09 s: two units, so that it moves where it matters. */
export function duration(ms) {
	const left = Math.max(0, ms);
	const two = (n) => String(n).padStart(2, '0');

	if (left >= DAY)
		return t('time.days', Math.floor(left / DAY), Math.floor(left % DAY / HOUR));
	if (left >= HOUR)
		return t('time.hours', Math.floor(left / HOUR), two(Math.floor(left % HOUR / MINUTE)));
	if (left >= MINUTE)
		return t('time.minutes', Math.floor(left / MINUTE), two(Math.floor(left % MINUTE / SECOND)));
	return t('time.seconds', Math.floor(left / SECOND));
}

export const ago = (ms, now = Date.now()) => t('time.ago', duration(now - ms));

/* An element that says what is left until then, and calls `ended` once when nothing is. */
export function countdown(until, ended = () => {}) {
	const node = el('time', { class: 'left', datetime: utc(until), title: utc(until) });
	let timer = 0;

	if (until <= Date.now()) {
		node.textContent = t('time.over');
		node.classList.add('over');
		return node;
	}
	function tick() {
		const left = until - Date.now();

		node.textContent = left > 0 ? duration(left) : t('time.over');
		node.classList.toggle('soon', left > 0 && left < 10 * MINUTE);
		node.classList.toggle('over', left <= 0);
		if (left <= 0) {
			clearInterval(timer);
			ended();
		} else if (timer !== 0 && !node.isConnected) {
			clearInterval(timer);
		}
	}
	tick();
	timer = setInterval(tick, SECOND);
	return node;
}
