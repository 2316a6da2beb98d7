import { screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import { show } from '../testing/render'
import { RelativeTime } from './RelativeTime'

it.each([
  [-90, '1 min ago'],
  [20, 'just now'], // the server's clock may be ahead
  [7300, 'in 2 h'],
])('%d s from now is told as %s', (seconds, text) => {
  show(<RelativeTime at={new Date(Date.now() + seconds * 1000).toISOString()} />)
  expect(screen.getByText(text)).toBeInTheDocument()
})
