/* What a browser keeps of a ledger: old, forked and forged heads stay errors; two tabs do not confuse each other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Pins } from '../../../server/console/www/js/verify/pin.js';
import { parseTrust } from '../../../server/console/www/js/verify/trust.js';
import { test as t } from '../browser/tap.mjs';
import { Ledger } from './forge.mjs';

class Storage {
	constructor() {
		this.items = new Map();
	}

	getItem(name) {
		return this.items.get(name) ?? null;
	}

	setItem(name, value) {
		this.items.set(name, value);
	}

	removeItem(name) {
		this.items.delete(name);
	}
}

const examples = `${process.env.KMN_SOURCE}/docs/examples`;

export async function pins() {
	const trust = await parseTrust(readFileSync(`${examples}/trust`, 'utf8'));
	const key = Buffer.from(readFileSync(`${examples}/log.key`, 'utf8').trim(), 'base64');
	const ledger = new Ledger(`${examples}/ledger`, key);
	const forked = new Ledger(`${examples}/ledger`, key);
	forked.records[50].t += 1;
	forked.remake(50);
	const prover = (of) => async (from, to) => of.consistency(from, to);
	const fresh = async (storage = new Storage()) => {
		const one = new Pins(storage, 'ledger', undefined);
		await one.pin(trust);
		return one;
	};
	const whys = async (run) => (await run)?.error?.why ?? null;

	t('heads that grow are kept', async () => {
		const one = await fresh();
		for (const size of [3, 60, 60, 100, 200])
			assert.equal(await whys(one.take(ledger.checkpoint(size), prover(ledger))), null);
		assert.equal(one.read().head.size, 200);
	});
	t('an older head is an error', async () => {
		const one = await fresh();
		await one.take(ledger.checkpoint(100), prover(ledger));
		assert.equal(await whys(one.take(ledger.checkpoint(99), prover(ledger))), 'pin.old');
	});
	t('which stays, whatever comes later, also after the page is loaded anew', async () => {
		const storage = new Storage();
		const one = await fresh(storage);
		await one.take(ledger.checkpoint(100), prover(ledger));
		await one.take(ledger.checkpoint(99), prover(ledger));
		assert.equal(await whys(one.take(ledger.checkpoint(200), prover(ledger))), 'pin.old');
		assert.equal(await whys((await fresh(storage)).take(ledger.checkpoint(200), prover(ledger))), 'pin.old');
	});
	t('what is kept and cannot be read is an error that stays, and no first sight', async () => {
		for (const spoilt of ['{', '', 'null', '[]', '{"origin":"x"}', '{"origin":1,"policySha256":"","log":"","head":null,"error":null}']) {
			const storage = new Storage();
			storage.setItem('ledger', spoilt);
			const one = new Pins(storage, 'ledger', undefined);
			assert.equal(await whys(one.take(ledger.checkpoint(100), prover(ledger))), 'pin.spoilt', spoilt);
			await assert.rejects(one.pin(trust), { why: 'pin.other' });
			assert.equal(one.read().error.why, 'pin.spoilt');
			one.forget();
			await one.pin(trust);
			assert.equal(await whys(one.take(ledger.checkpoint(100), prover(ledger))), null);
		}
	});
	t('a fork is an error, whoever proves it', async () => {
		for (const liar of [ledger, forked]) {
			const one = await fresh();
			await one.take(ledger.checkpoint(100), prover(ledger));
			assert.equal(await whys(one.take(forked.checkpoint(150), prover(liar))), 'pin.fork');
		}
	});
	t('so is another root of the same size', async () => {
		const one = await fresh();
		await one.take(ledger.checkpoint(100), prover(ledger));
		assert.equal(await whys(one.take(forked.checkpoint(100), prover(ledger))), 'pin.fork');
	});
	t('a head that another key signed is one', async () => {
		const one = await fresh();
		const forged = new Ledger(`${examples}/ledger`, Buffer.alloc(32, 7));
		assert.equal(await whys(one.take(forged.checkpoint(100), prover(ledger))), 'signature');
	});
	t('a gateway that cannot be reached has not lied', async () => {
		const one = await fresh();
		await one.take(ledger.checkpoint(100), prover(ledger));
		await assert.rejects(one.take(ledger.checkpoint(150), async () => {
			throw new TypeError('network');
		}), TypeError);
		assert.equal(one.read().error, null);
	});
	t('two tabs: a slow answer is not an old head, and the newest one is kept', async () => {
		const storage = new Storage();
		const [one, two] = [await fresh(storage), await fresh(storage)];
		const asked = one.read();
		await two.take(ledger.checkpoint(150), prover(ledger));
		assert.equal(await whys(one.take(ledger.checkpoint(120), prover(ledger), asked)), null);
		assert.equal(one.read().head.size, 150);
	});
	t('two tabs: the slow answer must be of the same tree', async () => {
		const storage = new Storage();
		const [one, two] = [await fresh(storage), await fresh(storage)];
		const asked = one.read();
		await two.take(ledger.checkpoint(150), prover(ledger));
		assert.equal(await whys(one.take(forked.checkpoint(120), prover(ledger), asked)), 'pin.fork');
		assert.equal(two.read().error.why, 'pin.fork');
	});
	t('another ledger is not pinned over the first', async () => {
		const one = await fresh();
		await assert.rejects(one.pin({ ...trust, policySha256: trust.policySha256.replace(/^./, 'x') }), { why: 'pin.other' });
		one.forget();
		assert.equal(one.read(), null);
	});
	t('first sight is compared once', async () => {
		const one = new Pins(new Storage(), 'ledger', undefined);
		assert.equal((await one.pin(trust, true)).first, true);
		assert.equal((await one.pin(trust)).first, false);
		assert.equal((await one.pin(trust, true)).first, false);
	});
}
