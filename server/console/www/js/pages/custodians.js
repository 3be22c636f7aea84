/* Who is who: persons of the policy, what they may do, and what they sign with. */
import { get } from '../api.js';
import { el, facts, fill } from '../dom.js';
import { hash } from '../table.js';
import { utcShort } from '../time.js';
import { has, t } from '../words.js';

const inWords = ({ name, least, members }) => t('custodians.group', name, least, members);

function rolesOf(person) {
	return [t(person.auditor ? 'role.auditor' : 'role.custodian'), person.operator ? t('role.operator') : null,
		...person.roles.map((role) => inWords({ ...role, name: has(`role.${role.name}`) ? t(`role.${role.name}`) : role.name }))]
		.filter((word) => word !== null).join(', ');
}

function card(person) {
	return el('section', { class: 'card person-card', 'aria-label': person.name }, el('h2', {}, person.name, ' ', el('span', { class: 'count' }, t('custodians.person', person.person))),
		facts([
			[t('custodians.roles'), rolesOf(person)],
			[t('custodians.groups'), person.groups.length === 0 ? t('app.none') : person.groups.map(inWords).join(', ')],
			[t('custodians.votes'), person.last_vote ? t('custodians.votes.last', person.votes, utcShort(person.last_vote)) : String(person.votes)],
			...person.keys.map((key) => [key.kind, hash(key.spki_sha256)]),
		]));
}

export async function openCustodians(app) {
	const { persons } = await get('custodians');

	fill(app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('custodians.title')), el('p', { class: 'lead' }, t('custodians.lead'))),
		el('a', { href: '#/enrol' }, t('nav.enrol'))),
	el('div', { class: 'cards' }, persons.map(card)));
}
