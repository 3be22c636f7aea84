/* Screenshots for docs/images, where KMN_TEST_IMAGES names a folder; else nothing. */
import { join } from 'node:path';

const folder = process.env.KMN_TEST_IMAGES;

export class Pictures {
	async take(page, name, options = {}) {
		if (folder === undefined || folder === '')
			return;
		const size = page.viewportSize();
		if (options.viewport !== undefined)
			await page.setViewportSize(options.viewport);
		await page.evaluate(() => {
			document.activeElement?.blur();
			window.scrollTo(0, 0);
			document.querySelector('.status').replaceChildren();
		});
		await page.screenshot({ path: join(folder, `console-${name}.png`), animations: 'disabled', fullPage: options.fullPage ?? false });
		await page.setViewportSize(size);
	}
}
