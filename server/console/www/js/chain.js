/* The chain of an operation, from what was shown to the record: a step each, with its verdict, why, and digests. */
import { el } from './dom.js';
import { verdictMark } from './verdict.js';
import { has, t } from './words.js';

function step(one) {
	return el('li', { class: `step ${one.verdict}` }, el('div', { class: 'step-head' },
		el('h3', {}, has(`step.${one.what}`) ? t(`step.${one.what}`) : one.what), verdictMark(one.verdict)),
	one.why ? el('p', {}, one.why) : null,
	(one.digests ?? []).length === 0 ? null : el('dl', { class: 'digests' }, one.digests.map((digest) =>
		el('div', {}, el('dt', {}, digest.name), el('dd', { class: 'mono' }, digest.value)))));
}

export const chain = (judged) => el('div', { class: 'chain' },
	el('p', { class: 'chain-verdict' }, verdictMark(judged.verdict), ' ', judged.words ?? ''),
	el('ol', { class: 'steps-chain' }, judged.steps.map(step)));
