// The console of `carillon standalone --dev`, for tests, and what a test asks of it.
import { assert, until } from './setup.js'

export const KEPT = 'carillon.console.key'

/**
 * The console in a browser of its own. What it complains of, or loads from elsewhere, is in `complaints`: a refused call
 * alone is none.
 */
export async function openConsole(context, admin, hash = '') {
  const page = await context.newPage()
  const complaints = []
  page.on('console', (message) => {
    if (message.type() === 'error' && !/^Failed to load resource/.test(message.text())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(`${error}`))
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(admin).host) complaints.push(`loads ${request.url()}`)
    if (/ck_/.test(request.url())) complaints.push(`a key in ${request.url()}`)
  })
  const answer = await page.goto(`${admin}/console${hash}`)
  return {
    page,
    answer,
    complaints,
    card: (name) => page.getByRole('region', { name, exact: true }),
    /** Waits for a text somewhere in a card. */
    async shows(name, text) {
      const card = page.getByRole('region', { name, exact: true })
      const said = () => card.innerText().catch(() => '')
      await until(async () => (await said()).includes(text), async () => `${name} says no ${text}: ${await said()}`)
    },
    async signIn(key) {
      await page.getByLabel('API key').fill(key)
      await page.getByRole('button', { name: 'Open the console' }).click()
    },
    /** Goes on in a dialog by its button. */
    async agrees(button) {
      await page.getByRole('dialog').getByRole('button', { name: button }).click()
      await until(async () => !await page.getByRole('dialog').count(), () => 'the dialog stays')
    },
  }
}

/** The call that a button copies, as it is on the clipboard. */
export async function copied(page, button) {
  await button.click()
  return page.evaluate(() => navigator.clipboard.readText())
}

/** Whoever reads it by ear, by eye, at night, on a telephone. With PICTURES, what it looks like is kept there as `name`. */
export async function looksWell(page, axe, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 })
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(wide <= width, `${name}: at ${width} px it is ${wide} px wide`)
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate(() => window.axe.run())
      assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], `${name}: ${colorScheme}, ${width} px`)
      if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${name}-${colorScheme}-${width}.png`, fullPage: true })
    }
  }
}

