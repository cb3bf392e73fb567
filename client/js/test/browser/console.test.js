// The console in a real Chromium, over a real standalone with a Redis of its own: what an operator sees and does.
import { execFileSync } from 'node:child_process'
import { afterEach, test } from 'node:test'
import axe from 'axe-core'
import { listen } from '../real/setup.js'
import { startRedis } from '../real/server.js'
import { assert, browser, keep, newUser, start, until } from './setup.js'
import { copied, KEPT, looksWell, openConsole } from './console.js'

const redis = keep(await startRedis())
const { carillon, proxy } = await start({ redis: redis.url })
const admin = `http://${carillon.at.admin}`
let opened

/** The console with the key shown already. */
async function open(hash) {
  const context = await browser()
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  await context.addInitScript(([name, key]) => sessionStorage.setItem(name, key), [KEPT, carillon.key])
  return opened = await openConsole(context, admin, hash)
}

afterEach(() => {
  assert.deepEqual(opened?.complaints ?? [], [])
  opened = undefined
})

/** The cells of a table's rows. */
const rows = (it, name) => it.page.getByRole('region', { name: `Table: ${name}` }).locator('tbody tr')
  .evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.innerText.trim())))

async function fill(card, values) {
  for (const [label, value] of Object.entries(values)) await card.getByLabel(label, { exact: true }).fill(value)
}

/** A user with a phone that has everything. */
async function withPhone() {
  const user = newUser('alice')
  const phone = await listen(proxy, user, { device: 'phone' })
  return { user, phone }
}

test('a key is asked for, stays in memory, and goes when it is to', async () => {
  const context = await browser()
  const it = opened = await openConsole(context, admin)
  const asks = () => it.page.getByRole('region', { name: 'Show your key' }).count()
  await it.signIn('ck_wrong')
  await it.shows('Show your key', 'the API key is not known here')
  await it.page.route('**/checks', (route) => route.fulfill({ status: 403, contentType: 'application/problem+json',
    body: JSON.stringify({ title: 'The API key may not do this', status: 403, code: 'insufficient_scope', detail: 'the API key or token lacks the scope admin' }) }))
  await it.signIn(carillon.key)
  await it.shows('Show your key', 'lacks the scope admin')
  await it.page.unroute('**/checks')
  await it.signIn(carillon.key)
  await it.shows('Gateways', 'ready')
  const kept = () => it.page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, location.href, document.cookie]))
  assert.doesNotMatch(await kept(), /ck_/, 'it is in memory alone')
  await it.page.reload()
  assert.equal(await asks(), 1)

  await it.page.getByLabel('Keep it in this tab').check()
  await it.signIn(carillon.key)
  await it.shows('Gateways', 'ready')
  await it.page.reload()
  await it.shows('Gateways', 'ready')
  await it.page.getByRole('button', { name: 'Forget the key' }).click()
  assert.equal(await asks(), 1)
  assert.doesNotMatch(await kept(), /ck_/)
})

test('the overview: gateways, the store, what is to be mended', async () => {
  await withPhone()
  const it = await open()
  await it.shows('Now', 'user')
  await it.shows('The store, and this process', 'Store is reached')
  const store = await rows(it, 'Numbers of this process')
  assert.ok(store.some(([name, value]) => name === 'Store is reached' && value === 'yes'), `${store}`)
  assert.ok(store.every(([, value, meaning]) => value && /\w+_\w+$/.test(meaning)), 'each number has its meaning, and its metric')
  // This Redis keeps nothing.
  await it.shows('What the checks say', 'set appendonly yes')
  await it.shows('Now', 'to mend')
  const [gateway] = (await carillon.call('GET', '/api/gateways')).gateways
  await until(async () => Number((await rows(it, 'Gateways'))[0]?.[2]) >= 1, async () => rows(it, 'Gateways'))
  const [[name, users, , state, , version]] = await rows(it, 'Gateways')
  assert.deepEqual([name, state, version], [gateway.id, 'ready', gateway.version])
  assert.ok(Number(users) >= 1)
  const begins = it.card('Gateways').getByLabel('Name begins with')
  await begins.fill('nobody')
  await it.shows('Gateways', 'No gateway')
  await begins.fill(gateway.id.slice(0, 4))
  assert.equal((await rows(it, 'Gateways')).length, 1)
})

test('a user: connections, devices, the inbox; sending, taking back, closing, revoking', async () => {
  const { user, phone } = await withPhone()
  const ids = await carillon.sendMany(30, user)
  await until(() => phone.given.length === 30, () => phone.given.length)
  const it = await open()
  await it.page.getByRole('link', { name: 'User', exact: true }).click()
  await fill(it.page, { User: user })
  await it.page.getByRole('button', { name: 'Show' }).click()
  await until(async () => (await rows(it, 'Connections')).length === 1, () => 'no connection is shown')
  assert.equal((await rows(it, 'Connections'))[0][1], 'phone')
  assert.match(it.page.url(), new RegExp(`#/user/${user}$`))
  const again = it.card('Devices').getByRole('button', { name: 'Look again' })
  await until(async () => {
    await again.click()
    return (await rows(it, 'Devices'))[0]?.[2] === '0'
  }, async () => rows(it, 'Devices'))
  const [device] = await rows(it, 'Devices')
  const { last } = await carillon.call('GET', `/api/users/${user}/devices`)
  assert.deepEqual(device.slice(0, 2), ['phone', last])
  assert.match(device[3], / ago$/)

  assert.equal((await rows(it, 'Inbox')).length, 25)
  assert.match((await rows(it, 'Inbox'))[0][2], /29/)
  await it.card('Inbox').getByRole('button', { name: 'Next page' }).click()
  await until(async () => (await rows(it, 'Inbox')).length === 5, async () => `${(await rows(it, 'Inbox')).length} rows`)
  assert.equal(await it.card('Inbox').getByRole('button', { name: 'Next page' }).isDisabled(), true)

  const send = it.card(`Send to ${user}`)
  await fill(send, { Type: 'by.hand', Content: "It's <b>here</b>", 'Data, JSON (optional)': '{"order":4711' })
  await send.getByRole('button', { name: 'Send', exact: true }).click()
  await it.shows(`Send to ${user}`, 'The data is no JSON')
  await fill(send, { 'Data, JSON (optional)': '{"order":4711}', 'Lifetime (optional)': '1000 years' })
  await send.getByRole('button', { name: 'Send', exact: true }).click()
  await it.shows(`Send to ${user}`, '/ttl')
  await fill(send, { 'Lifetime (optional)': '10m' })
  await send.getByRole('button', { name: 'Send', exact: true }).click()
  await it.shows(`Send to ${user}`, 'routed to 1 connected device')
  await until(async () => (await rows(it, 'Inbox'))[0]?.[1] === 'by.hand', async () => rows(it, 'Inbox'))
  assert.match((await rows(it, 'Inbox'))[0][2], /It's <b>here<\/b>/, 'a text is a text')
  const [newest] = (await carillon.call('GET', `/api/users/${user}/notifications?order=newest&limit=1`)).notifications
  assert.deepEqual([newest.type, newest.data], ['by.hand', { order: 4711 }])
  await it.page.getByRole('button', { name: `Retract ${newest.cursor}` }).click()
  await it.agrees('Retract')
  await it.shows('Inbox', 'It is delivered no more.')
  await until(async () => (await rows(it, 'Inbox'))[0]?.[1] === 'test', async () => rows(it, 'Inbox'))

  // What is not agreed to is not done.
  const connections = it.card('Connections')
  await connections.getByRole('button', { name: 'Disconnect all' }).click()
  await it.page.keyboard.press('Escape')
  await connections.getByRole('button', { name: /^Disconnect the session/ }).click()
  await it.page.getByRole('dialog').getByLabel('Close code').selectOption('4100')
  await it.agrees('Disconnect')
  await it.shows('Connections', '1 connection is being closed')
  await until(() => phone.states.some(({ code }) => code === 4100), () => JSON.stringify(phone.states))
  assert.deepEqual(phone.given, ids, 'each once')

  await connections.getByRole('button', { name: 'Revoke tokens' }).click()
  await it.page.getByRole('dialog').getByLabel('Reason').fill('lost phone')
  await it.agrees('Revoke')
  await it.shows('Connections', 'revoked')
  const { revocations } = await carillon.call('GET', '/api/tokens/revocations')
  assert.ok(revocations.some(({ user: whose, reason }) => whose === user && reason === 'lost phone'))
})

test('a channel: who is on it, what was published, publishing', async () => {
  const { user, phone } = await withPhone()
  const name = `orders.${user}`
  await phone.client.subscribe(name)
  await carillon.publish(name, 'first')
  const it = await open('#/channel')
  await until(async () => (await rows(it, 'Followed channels')).length > 0, () => 'no channel is listed')
  await it.card('Followed now').getByLabel('Name begins with').fill(name)
  await it.card('Followed now').getByRole('button', { name: 'Look', exact: true }).click()
  await until(async () => (await rows(it, 'Followed channels')).length === 1, async () => rows(it, 'Followed channels'))
  await it.page.getByRole('link', { name, exact: true }).click()
  await until(async () => (await rows(it, 'Members')).length === 1, () => 'nobody is on it')
  assert.equal((await rows(it, 'Members'))[0][0], user)
  await it.shows('Members', '1 connection on the channel, as 1 of 1 gateway say')
  assert.match((await rows(it, 'History'))[0][2], /first/)
  const publish = it.card(`Publish to the members of ${name}`)
  await fill(publish, { Content: 'second' })
  await publish.getByRole('button', { name: 'Publish', exact: true }).click()
  await it.agrees('Publish')
  await until(async () => (await rows(it, 'History')).length === 2, async () => rows(it, 'History'))
})

test('a notification’s timeline, and what is wrong with its remedy', async () => {
  const { user, phone } = await withPhone()
  const id = await carillon.send(user, 'traced')
  const { devices } = await carillon.call('GET', `/api/users/${user}/notifications/${id}`)
  assert.equal(devices.length, 1)
  await until(async () => (await carillon.call('GET', `/api/users/${user}/notifications/${id}`)).status === 'delivered', () => phone.client.state)
  const it = await open(`#/notification/${user}/${id}`)
  await it.shows('Timeline', 'every device for which it is has acked it')
  const line = it.card('Timeline').locator('.timeline li')
  assert.deepEqual(await line.locator('> strong').allInnerTexts(), ['Accepted', 'Routed', 'Written to sockets', 'Acked: phone', 'Expires'])
  const said = await line.allInnerTexts()
  assert.match(said[2], /time not known/)
  assert.match(said[3], /\+[\d.]+ m?s/, 'how long after')

  await fill(it.page, { 'Cursor or id': '01a00000-0000-7000-8000-000000000000' })
  await it.page.getByRole('button', { name: 'Show' }).click()
  await it.card('Timeline').getByRole('alert').waitFor()
  const remedy = it.card('Timeline').getByRole('link', { name: 'What it means, and the remedy' })
  const href = await remedy.getAttribute('href')
  const page = await fetch(admin + href)
  assert.equal(page.status, 200)
  assert.match(await page.text(), new RegExp(`id="${href.split('#')[1]}"`))
})

test('a tail shows what comes, of a user and of a channel, and stands still when it is to', async () => {
  const user = newUser('nobody')
  const it = await open(`#/tail/user/${user}`)
  const contents = async () => (await rows(it, 'Notifications')).map((row) => row[2])
  await it.shows(`Tail of ${user}`, 'Nothing was accepted since')
  await carillon.send(user, 'one')
  await carillon.send(user, 'two')
  await until(async () => (await contents()).join() === 'two,one', contents)
  await it.page.getByRole('button', { name: 'Pause' }).click()
  await it.shows(`Tail of ${user}`, 'Paused')
  await carillon.send(user, 'three')
  await it.page.getByRole('button', { name: 'Go on' }).click()
  await until(async () => (await contents()).join() === 'three,two,one', contents)

  const channel = `news.${user}`
  await carillon.publish(channel, 'before')
  await it.page.locator('select[name=kind]').selectOption('channel')
  await fill(it.page, { Name: channel })
  await it.page.getByRole('button', { name: 'Show' }).click()
  await it.shows(`Tail of #${channel}`, 'Nothing was accepted since')
  await carillon.publish(channel, 'after')
  await until(async () => (await contents()).join() === 'after', contents)
})

test('what it does, a curl does', async () => {
  const user = newUser('quoted\'s "user"')
  const it = await open(`#/user/${encodeURIComponent(user)}`)
  const run = (line) => JSON.parse(execFileSync('sh', ['-c', line], { env: { ...process.env, CARILLON_KEY: carillon.key, NO_PROXY: '*' } }))
  await it.shows('Connections', 'Nobody of that name')
  const asked = await copied(it.page, it.page.getByRole('button', { name: 'Copy as curl: Connections', exact: true }))
  assert.doesNotMatch(asked, /ck_/)
  assert.deepEqual(run(asked), await carillon.call('GET', `/api/users/${encodeURIComponent(user)}/presence`))
  const send = it.card(`Send to ${user}`)
  await fill(send, { Content: 'it\'s "quoted" $HOME `date` \\' })
  await send.getByRole('button', { name: 'Send', exact: true }).click()
  await it.shows(`Send to ${user}`, 'waits in the inbox')
  const sent = await copied(it.page, it.page.getByRole('button', { name: `Copy as curl: Send to ${user}`, exact: true }))
  const repeated = run(sent.split('\n')[0])
  const { notifications } = await carillon.call('GET', `/api/users/${encodeURIComponent(user)}/notifications`)
  assert.deepEqual(notifications.map(({ cursor, content }) => [cursor, content]), [[repeated.cursor, 'it\'s "quoted" $HOME `date` \\']], 'the same key, nothing twice')
  await it.page.getByText('Calls of this page').click()
  await it.page.getByRole('listitem').filter({ hasText: '/devices' }).first().waitFor()
})

test('a hundred gateways, and more, are shown at once and found by name', async () => {
  const all = (users) => Array.from({ length: 250 }, (_, at) => ({ id: `pod-${`${at}`.padStart(3, '0')}`, generation: Date.now() - at * 60_000, users: users + at,
    connections: 2 * (users + at), draining: at === 3, accepting: at !== 3, pod: null, version: '1.2.3' }))
  let users = 1_000
  const it = await open('#/user')
  await it.page.route('**/api/gateways', (route) => route.fulfill({ json: { gateways: all(users) } }))
  // From the answer to the rows on the screen.
  await it.page.evaluate(() => {
    window.took = new Promise((resolve) => {
      new PerformanceObserver((list) => {
        const asked = list.getEntries().find(({ name }) => name.endsWith('/api/gateways'))
        if (!asked) return
        const seen = () => (document.querySelectorAll('tr').length > 100 ? resolve(performance.now() - asked.responseEnd) : requestAnimationFrame(seen))
        seen()
      }).observe({ type: 'resource' })
    })
  })
  await it.page.getByRole('link', { name: 'Overview' }).click()
  const took = await it.page.evaluate(() => window.took)
  console.log(`# 100 gateways of 250 on the screen ${Math.round(took)} ms after the answer`)
  assert.ok(took < 500, `${took} ms`)
  assert.equal((await rows(it, 'Gateways')).length, 100)
  await it.shows('Gateways', '100 of 250 are shown')
  await it.shows('Gateways', 'draining')
  assert.equal(await it.page.getByRole('button', { name: 'Drain pod-003' }).isDisabled(), true)

  // Whoever is on a button stays there while the numbers change.
  await it.page.getByRole('button', { name: 'Drain pod-050' }).focus()
  users = 5_000
  await until(async () => (await rows(it, 'Gateways'))[0][1] === '5,000', async () => (await rows(it, 'Gateways'))[0])
  assert.equal(await it.page.evaluate(() => document.activeElement.ariaLabel), 'Drain pod-050')
  await it.card('Gateways').getByLabel('Name begins with').fill('pod-24')
  assert.equal((await rows(it, 'Gateways')).length, 10)
  await it.card('Gateways').getByLabel('Name begins with').fill('')
  await it.card('Gateways').getByLabel('Order').selectOption('users')
  assert.equal((await rows(it, 'Gateways'))[0][0], 'pod-249')
})

test('by keyboard alone', async () => {
  const it = await open()
  const { page } = it
  await it.shows('Gateways', 'ready')
  const to = async (name) => {
    for (let steps = 0; steps < 80; steps++) {
      await page.keyboard.press('Tab')
      const here = await page.evaluate(() => {
        const at = document.activeElement
        return { outline: getComputedStyle(at).outlineStyle, name: at.getAttribute('aria-label') ?? at.labels?.[0]?.innerText ?? at.innerText }
      })
      if (here.name.trim().split('\n')[0] !== name) continue
      assert.notEqual(here.outline, 'none', `the focus on ${name} is seen`)
      return
    }
    throw new Error(`Tab does not lead to ${name}`)
  }
  const [{ id }] = (await carillon.call('GET', '/api/gateways')).gateways
  await to(`Drain ${id}`)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: `Drain ${id}?` }).waitFor()
  await page.keyboard.press('Escape')
  await until(async () => !await page.getByRole('dialog').count(), () => 'the dialog stays')
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), `Drain ${id}`, 'the focus is where it was')
  await page.getByRole('link', { name: 'User', exact: true }).focus()
  await page.keyboard.press('Enter')
  await until(() => page.evaluate(() => document.activeElement.id === 'view'), () => 'the focus is not in the view')
  await to('User')
  await page.keyboard.type(newUser('typed'))
  await page.keyboard.press('Enter')
  await it.shows('Connections', 'Nobody of that name')
})

test('its policy lets nothing else in', async () => {
  const it = await open()
  const policy = it.answer.headers()['content-security-policy']
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
  assert.doesNotMatch(policy, /unsafe|https?:|\*/)
  const refused = await it.page.evaluate(async () => {
    const names = []
    addEventListener('securitypolicyviolation', ({ effectiveDirective }) => names.push(effectiveDirective))
    const tries = [
      () => document.head.append(Object.assign(document.createElement('script'), { textContent: 'window.isBroken = true' })),
      () => document.body.setAttribute('onclick', 'window.isBroken = true'),
      () => { document.body.innerHTML = '' },
      () => fetch('http://localhost:9/'),
    ]
    for (const attempt of tries) await Promise.resolve().then(attempt).catch(() => {})
    document.body.click()
    await new Promise((resolve) => { setTimeout(resolve, 100) })
    return { names, isBroken: window.isBroken === true, isThere: document.body.childElementCount > 0 }
  })
  assert.deepEqual([refused.isBroken, refused.isThere], [false, true])
  assert.ok(refused.names.includes('connect-src'), `${refused.names}`)
  // That is what it complained of.
  it.complaints.length = 0
})

test('each view reads well, by day, at night, on a telephone', async () => {
  const { user, phone } = await withPhone()
  const name = `seen.${user}`
  await phone.client.subscribe(name)
  await carillon.sendMany(3, user)
  await carillon.publish(name, 'seen')
  const id = await carillon.send(user, 'seen')
  for (const [view, hash, card, text] of [
    ['overview', '#/overview', 'The store, and this process', 'Store is reached'], ['user', `#/user/${user}`, 'Inbox', 'seen'], ['channels', '#/channel', 'Followed now', name],
    ['channel', `#/channel/${name}`, 'History', 'seen'], ['notification', `#/notification/${user}/${id}`, 'Timeline', 'Accepted'], ['tail', `#/tail/user/${user}`, `Tail of ${user}`, 'It follows'],
    ['refused', `#/notification/${user}/x`, 'Timeline', 'must be a notification'],
  ]) {
    const it = await open(hash)
    await it.shows(card, text)
    if (view === 'overview') await until(async () => /\d/.test((await rows(it, 'Gateways'))[0]?.[2]), async () => rows(it, 'Gateways'))
    await looksWell(it.page, axe, view)
    if (view === 'user') {
      await it.page.getByRole('button', { name: 'Disconnect all' }).click()
      await looksWell(it.page, axe, 'dialog')
    }
    await it.page.context().close()
    assert.deepEqual(it.complaints, [], view)
  }
})

// The last one: there is no way back.
test('a gateway is drained by button', async () => {
  const { user, phone } = await withPhone()
  const it = await open()
  const [{ id }] = (await carillon.call('GET', '/api/gateways')).gateways
  await it.page.getByRole('button', { name: 'Rebalance' }).click()
  await it.page.getByRole('dialog').getByText('nobody would be asked to move').waitFor()
  await it.agrees('Rebalance')
  await it.shows('Gateways', 'balanced')
  await it.page.getByRole('button', { name: `Drain ${id}` }).click()
  assert.match(await it.page.getByRole('dialog').innerText(), /\d+ users? .* no way back/s)
  await it.agrees('Drain')
  await it.shows('Gateways', `the gateway ${id} is asked to drain`)
  await until(() => phone.states.some(({ code }) => code === 4200), () => `${user}: ${JSON.stringify(phone.states)}`)
  await it.shows('Gateways', 'empty')
  assert.equal(await it.page.getByRole('button', { name: `Drain ${id}` }).isDisabled(), true)
})
