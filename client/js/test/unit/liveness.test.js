// Whether a silent socket still lives, by the clock alone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLiveness } from '../../src/liveness.js'

const EVERY = 25_000

test('asked after an interval, dead after ten seconds of silence', () => {
  const liveness = createLiveness(EVERY, 0)
  assert.equal(liveness.wait(0), EVERY)
  assert.equal(liveness.check(24_999), undefined)
  assert.equal(liveness.check(25_000), 'ping')
  assert.equal(liveness.wait(25_000), 10_000)
  assert.equal(liveness.check(35_000), 'dead')
})

test('any answer will do', () => {
  const liveness = createLiveness(EVERY, 0)
  assert.equal(liveness.heard(10), false)
  liveness.check(25_000)
  assert.equal(liveness.heard(25_100), true)
  assert.equal(liveness.check(35_000), undefined)
  assert.equal(liveness.check(50_100), 'ping')
})

test('a late timer asks once more, and only once', () => {
  const liveness = createLiveness(EVERY, 0)
  assert.equal(liveness.check(25_000), 'ping')
  assert.equal(liveness.check(95_000), 'ping', 'nobody looked for a minute')
  assert.equal(liveness.wait(95_000), 5_000)
  assert.equal(liveness.check(155_000), 'dead', 'late again, and still silent')
})

test('after a sleep five seconds are enough', () => {
  const liveness = createLiveness(EVERY, 0)
  liveness.probe(3_600_000)
  assert.equal(liveness.check(3_605_000), 'dead')
})

test('a clock that goes back asks, and kills nobody', () => {
  const liveness = createLiveness(EVERY, 1_000_000)
  assert.equal(liveness.wait(0), EVERY)
  assert.equal(liveness.check(25_000), 'ping')
  assert.equal(liveness.heard(25_100), true)
  assert.equal(liveness.check(50_100), 'ping')
})
