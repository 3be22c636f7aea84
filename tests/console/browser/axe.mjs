/* What axe-core finds serious on the page that is open; the words name element and rule. */
import { readFileSync } from 'node:fs';

const source = readFileSync(`${process.env.KMN_NODE_MODULES}/axe-core/axe.min.js`, 'utf8');

export async function seriousFaults(page) {
	if (!await page.evaluate(() => window.axe !== undefined))
		await page.evaluate(source);
	const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));

	if (passes.length < 10)
		throw new Error(`axe-core looked at almost nothing: ${passes.length} rules`);
	return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
		.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`));
}
