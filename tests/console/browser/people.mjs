/* What people do at the console of a whole gateway (gateway.mjs), for the tests that have one. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/* Makes a security key's line of the policy for a person who has a key file there already. */
async function enrol(person, gateway, number) {
	const { name, page } = person;
	const file = join(gateway.work, `${name}.registration.json`), out = join(gateway.work, `key-${name}`);

	await person.goto('#/enrol');
	await person.plugIn();
	await page.getByLabel('Your name in the policy').fill(name);
	const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Make the credential' }).click()]);
	await download.saveAs(file);
	mkdirSync(out);
	gateway.kanmon('custodian', 'new', name, '--person', number, '--out', out, '--webauthn', file, '--origin', gateway.origin, '--rp-id', 'localhost');
	return readFileSync(join(out, `${name}.policy`), 'utf8').split('\n').filter((line) => line.startsWith('custodian '));
}

/* Persons of the policy, each in a browser with a security key; version 2 of the policy has their lines. {name: person} */
export async function enrolAll(browser, gateway, names) {
	const people = {}, lines = [];

	for (const [i, name] of names.entries()) {
		people[name] = await browser.person(name, gateway.origin);
		lines.push(...await enrol(people[name], gateway, `000${i + 1}`));
	}
	gateway.nextPolicy((text) => text.replace(/^token /m, `${lines.join('\n')}\ntoken `), ['sato', 'suzuki']);
	return people;
}

export async function knowLedger({ page }, gateway) {
	await page.getByLabel('Trust file').setInputFiles(gateway.env.TRUST);
	await page.locator('#trust-strip .verdict.ok').waitFor();
}

export async function openRequest(person, id) {
	await person.goto(`#/requests/${id}`);
	await person.page.getByRole('heading', { level: 1, name: `Request ${id}` }).waitFor();
	await person.page.getByText('was reported to the ledger').waitFor();
}

/* On the page of a request; answers what the page says of the vote. */
export async function approveIn({ page }) {
	await page.getByRole('button', { name: 'Approve' }).click();
	await page.getByRole('button', { name: 'Sign with the security key' }).click();
	await page.locator('#outcome').waitFor();
	return page.locator('#outcome').textContent();
}

/* Answers of the API under this path go through `change` before the page sees them. */
export async function altered(person, path, change) {
	const pattern = `**/api/v1/${path}`;

	await person.page.route(pattern, async (route) => {
		const response = await route.fetch();
		await route.fulfill({ response, body: change(await response.text()) });
	});
	return () => person.page.unrouteAll({ behavior: 'wait' });
}
