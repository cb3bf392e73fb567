// Positions, repetitions and acks, without a socket.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLedger } from '../../src/ledger.js'

/** A ledger that has heard these. */
function heard(...ids) {
  const ledger = createLedger()
  ledger.start('', '0')
  for (const id of ids) ledger.arrive('', `n${id}`, `${id}`)
  return ledger
}

test('a position moves over what is handled, and never over what is not', () => {
  const ledger = heard(1, 2, 3)
  assert.equal(ledger.handled('', 'n2'), undefined)
  assert.equal(ledger.handled('', 'n1'), '2')
  assert.equal(ledger.since(''), '1')
  assert.equal(ledger.handled('', 'n3'), '3')
  assert.equal(ledger.since(''), '2')
})

test('on another connection what comes again is acked again', () => {
  const ledger = heard(1, 2)
  ledger.handled('', 'n1')
  ledger.handled('', 'n2')
  ledger.begin(1000)
  assert.equal(ledger.settle(''), undefined, 'nothing came on it yet')
  assert.equal(ledger.arrive('', 'n2', '2'), false)
  assert.equal(ledger.settle(''), '2')
})

test('logs do not disturb each other', () => {
  const ledger = heard(1)
  ledger.arrive('orders', 'a', '90')
  assert.equal(ledger.handled('orders', 'a'), '90')
  assert.equal(ledger.since(''), '0')
  ledger.forget('orders')
  assert.equal(ledger.since('orders'), undefined)
})

test('as many ids are remembered as an inbox holds', () => {
  const ledger = createLedger()
  ledger.begin(1500)
  for (let n = 0; n < 1501; n++) ledger.arrive('', `n${n}`)
  assert.equal(ledger.arrive('', 'n1'), false)
  assert.equal(ledger.arrive('', 'n0'), true)
})

test('one that nobody finishes does not hold the others for ever', () => {
  const ledger = heard()
  ledger.arrive('', 'stuck', 'c0')
  let acked
  for (let n = 1; n <= 2001; n++) {
    ledger.arrive('', `n${n}`, `c${n}`)
    acked = ledger.handled('', `n${n}`) ?? acked
  }
  assert.equal(acked, 'c2001')
})

test('what waits is not kept for another page, and comes again there', () => {
  const ledger = heard(1, 2, 3)
  ledger.handled('', 'n1')
  ledger.handled('', 'n3')
  const other = createLedger()
  other.reset(JSON.parse(JSON.stringify(ledger.save())))
  assert.equal(other.since(''), '0')
  assert.deepEqual([1, 2, 3].map((n) => other.arrive('', `n${n}`, `${n}`)), [false, true, false])
})
