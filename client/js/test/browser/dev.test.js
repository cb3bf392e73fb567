// The page of `carillon standalone --dev` in a real Chromium: what a newcomer does, and who else may not.
import { request } from 'node:http'
import { once } from 'node:events'
import { afterEach, test } from 'node:test'
import axe from 'axe-core'
import { assert, browser, site, until } from './setup.js'
import { openDev, startDev } from './dev.js'

const url = await startDev()
/** What a test has open. */
let opened
const open = async () => {
  const context = await browser()
  const it = await openDev(context, url)
  opened = { context, complaints: it.complaints }
  return it
}
afterEach(async () => {
  await opened?.context.close()
  assert.deepEqual(opened?.complaints ?? [], [])
  opened = undefined
})

test('what is sent and broadcast arrives, and its code is beside it', async () => {
  const it = await open()
  await it.send('bob', 'Lunch?')
  await it.has('alice', ['Lunch?'])
  assert.match(await it.page.locator('#code').textContent(), /^async function send\(from, to, content\) \{\n {2}const path = '\/api\/notifications\/send'/)
  await it.send('alice', 'At one')
  await it.has('bob', ['At one'])

  await it.button('alice', 'Join #orders').click()
  await until(() => it.log('alice', 'subscribed').count(), () => 'not subscribed')
  const many = it.page.locator('#broadcast')
  await many.getByRole('textbox').fill('number 7')
  await many.getByRole('radio', { name: '#orders' }).check()
  await many.getByRole('button').click()
  await it.has('alice', ['number 7', 'Lunch?'])
  await many.getByRole('textbox').fill('Back at noon')
  await many.getByRole('radio', { name: 'everyone' }).check()
  await many.getByRole('button').click()
  await it.has('alice', ['Back at noon', 'number 7', 'Lunch?'])
  await it.has('bob', ['Back at noon', 'At one'])
  for (const user of ['alice', 'bob']) await it.shows(user, 'waiting', '0')
})

test('who is offline is told on coming back, in order', async () => {
  const it = await open()
  const before = await it.told('alice')
  await it.button('alice', 'Go offline').click()
  await it.shows('alice', 'state', 'offline')
  for (const content of ['one', 'two', 'three']) {
    await it.send('bob', content)
    await until(() => it.page.locator('#log .text', { hasText: 'queued' }).count(), () => 'not accepted')
  }
  await it.shows('alice', 'waiting', '3')
  await it.button('alice', 'Come back').click()
  await it.has('alice', ['three', 'two', 'one', ...before])
  await it.shows('alice', 'waiting', '0')
  await it.shows('alice', 'replayed', '3')
  assert.equal(await it.card('alice').locator('.inbox .flag').count(), 3)
})

test('a connection that is cut comes back, and what was sent meanwhile has arrived once', async () => {
  const it = await open()
  for (let round = 1; round <= 5; round++) {
    await it.button('bob', 'Cut the wire').click()
    await it.send('alice', `round ${round}`)
  }
  await it.has('bob', [5, 4, 3, 2, 1].map((round) => `round ${round}`))
  await it.shows('bob', 'state', 'connected')
  await it.shows('bob', 'waiting', '0')
  const lost = it.log('bob', 'waiting').locator('.text')
  await until(() => lost.count(), () => 'it was never cut off')
  assert.match((await lost.allTextContents())[0], /^1006 · again in \d+ ms/)
})

test('a gateway that drains: its user moves without a gap', async () => {
  const it = await open()
  const places = async () => [await it.is('alice', 'gateway'), await it.is('bob', 'gateway')]
  await until(async () => (await places()).every((name) => name.startsWith('page-')), places)
  const [before, others] = await places()
  assert.notEqual(before, others, 'each is on a gateway of its own')
  await it.page.getByRole('button', { name: `Drain ${before}` }).click()
  let sent = 0
  await until(async () => {
    await it.send('bob', `while it drains ${++sent}`)
    return (await it.is('alice', 'gateway')) !== before
  }, places)
  await it.has('alice', Array.from({ length: sent }, (_, at) => `while it drains ${sent - at}`))
  const states = await it.page.locator('#log li.event[data-who=alice] .what').allTextContents()
  assert.deepEqual(states, ['connected', 'recovering', 'connecting'], 'she was never without a connection')
  assert.equal(await it.log('alice', 'reconnect').count(), 1)
  const row = it.page.getByRole('row', { name: before })
  await until(async () => !await row.count(), () => 'the drained gateway is still there')
  await until(async () => await it.page.locator('#gateways tr').count() === 2, () => 'no gateway took its place')
})

test('by keyboard alone', async () => {
  const it = await open()
  const { page } = it
  /** Goes on to the control of that name, however many come before it. */
  const to = async (name) => {
    for (let steps = 0; steps < 60; steps++) {
      await page.keyboard.press('Tab')
      const here = await page.evaluate(() => {
        const at = document.activeElement
        const outline = getComputedStyle(at.matches('.pills input') ? at.nextElementSibling : at).outlineStyle
        return { outline, name: at.getAttribute('aria-label') ?? at.labels?.[0]?.innerText ?? at.innerText }
      })
      if (here.name.trim() !== name) continue
      assert.notEqual(here.outline, 'none', `the focus on ${name} is seen`)
      return
    }
    throw new Error(`Tab does not lead to ${name}`)
  }
  const [alice, bob] = [await it.told('alice'), await it.told('bob')]
  await to('To Bob')
  await page.keyboard.press('ControlOrMeta+a')
  await page.keyboard.type('typed')
  await page.keyboard.press('Enter')
  await it.has('bob', ['typed', ...bob])
  await to('Go offline')
  await page.keyboard.press('Enter')
  await it.shows('alice', 'state', 'offline')
  await page.keyboard.press('Enter')
  await it.shows('alice', 'state', 'connected')
  await to('Join #orders')
  await page.keyboard.press('Space')
  await until(() => it.log('alice', 'subscribed').count(), () => 'not subscribed')
  await to('Message')
  await to('everyone')
  await page.keyboard.press('ArrowRight')
  await to('Broadcast')
  await page.keyboard.press('Enter')
  await it.has('alice', ['Back at noon', ...alice])
  await to('Broadcast')
  await page.keyboard.press('ArrowRight')
  assert.match(await page.locator('#code').textContent(), /client\.subscribe\(channel\)/)
  await to('All')
  await page.keyboard.press('ArrowRight')
  assert.equal(await page.locator('#log li[data-who=bob]').first().isVisible(), false)
  assert.equal(await page.locator('#log li[data-who=alice]').first().isVisible(), true)
})

test('it shows itself', async () => {
  const it = await open()
  const [alice, bob] = [await it.told('alice'), await it.told('bob')]
  await it.page.getByRole('button', { name: 'Show me' }).click()
  const caption = it.page.locator('#caption')
  await until(async () => (await caption.textContent()).startsWith('Nothing was lost'), () => caption.textContent(), 60_000)
  await it.has('alice', ['Back at noon', 'The usual place', 'At one?', 'Lunch?', ...alice])
  await it.has('bob', ['Back at noon', 'One it is', ...bob])
  for (const user of ['alice', 'bob']) await it.shows(user, 'waiting', '0')
  await look(it.page)
})

test('a session goes on over a reload', async () => {
  const it = await open()
  await it.send('bob', 'before')
  await until(async () => (await it.told('alice'))[0] === 'before', () => it.told('alice'))
  await it.page.reload()
  await it.shows('alice', 'state', 'connected')
  await it.send('bob', 'after')
  await it.has('alice', ['after'])
})

/** Whoever reads it by ear, by eye, at night, on a telephone. With PICTURES, what it looks like is kept there. */
async function look(page) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    for (const width of [1280, 800, 390, 320]) {
      await page.setViewportSize({ width, height: 900 })
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(wide <= width, `at ${width} px it is ${wide} px wide`)
      const below = await page.evaluate(() => document.documentElement.scrollHeight - document.body.getBoundingClientRect().height)
      assert.ok(below < 2, `${below} px of nothing at its end`)
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate(() => window.axe.run())
      assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], `${colorScheme}, ${width} px`)
      if (process.env.PICTURES && (width === 1280 || width === 390)) {
        await page.evaluate(() => scrollTo(0, 0))
        await page.screenshot({ path: `${process.env.PICTURES}/page-${colorScheme}-${width}.png`, fullPage: true })
      }
    }
  }
}

/** The status of an answer to a request with these headers. */
async function status(path, headers, method = 'POST') {
  const asked = request(new URL(path, url), { method, headers })
  asked.end()
  const [answer] = await once(asked, 'response')
  answer.resume()
  return answer.statusCode
}

test('its credentials are the page’s alone', async () => {
  const { host, origin } = new URL(url)
  assert.equal(await status('/demo/key', { origin }), 200)
  for (const [path, method] of [['/demo/key'], ['/demo/token/alice'], ['/demo/cut/x'], ['/demo/gateway/x'], ['/demo/wire/alice', 'GET']]) {
    for (const headers of [{}, { origin: site }, { origin, host: `evil.example:${new URL(url).port}` },
      { origin: 'http://evil.example', host: 'evil.example', 'sec-fetch-site': 'same-origin' }, { host, 'sec-fetch-site': 'same-origin' }, { origin, 'sec-fetch-site': 'cross-site' }]) {
      assert.equal(await status(path, headers, method), 403, `${path} ${JSON.stringify(headers)}`)
    }
  }
  const context = await browser()
  const page = await context.newPage()
  await page.goto(`${site}/else`)
  const answer = context.waitForEvent('response', (it) => it.url().endsWith('/demo/key'))
  await page.evaluate((address) => fetch(address, { method: 'POST', mode: 'no-cors' }).catch(() => {}), `${url}demo/key`)
  assert.equal((await answer).status(), 403, 'a page from elsewhere')
  await context.close()
})

test('its policy lets nothing else in', async () => {
  const it = await open()
  const policy = it.answer.headers()['content-security-policy']
  assert.match(policy, /^default-src 'none'; script-src 'self' 'sha256-[^']+'; style-src 'self';/)
  assert.doesNotMatch(policy, /unsafe|https?:|\*/)
  const refused = await it.page.evaluate(async (elsewhere) => {
    const names = []
    addEventListener('securitypolicyviolation', ({ effectiveDirective }) => names.push(effectiveDirective))
    const tries = [
      () => document.head.append(Object.assign(document.createElement('script'), { textContent: 'window.isBroken = true' })),
      () => document.body.setAttribute('onclick', 'window.isBroken = true'),
      () => { document.body.innerHTML = '' },
      () => fetch(elsewhere),
    ]
    for (const attempt of tries) await Promise.resolve().then(attempt).catch(() => {})
    document.body.click()
    await new Promise((resolve) => { setTimeout(resolve, 100) })
    return { names, isBroken: window.isBroken === true, isThere: document.body.childElementCount > 0 }
  }, site)
  assert.deepEqual([refused.isBroken, refused.isThere], [false, true])
  assert.ok(refused.names.includes('connect-src'), `${refused.names}`)
  // That is what it complained of.
  it.complaints.length = 0
})
