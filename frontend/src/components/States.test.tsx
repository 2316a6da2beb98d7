import { useQuery } from '@tanstack/react-query'
import { screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import { show } from '../testing/render'
import { Shown } from './States'

function Restarts({ queryFn }: { queryFn: () => Promise<string> }) {
  const query = useQuery({ queryKey: ['restarts'], queryFn, retry: 2, retryDelay: 200 })
  return (
    <Shown query={query} what="Restarts cannot be shown">
      {(text) => <p>{text}</p>}
    </Shown>
  )
}

it('says what it waits for while it tries again', async () => {
  let asked = 0
  show(
    <Restarts
      queryFn={async () => {
        asked += 1
        if (asked < 3) throw new Error('supervisor-control did not answer within 2 s')
        return 'three restarts'
      }}
    />,
  )
  expect(await screen.findByText('supervisor-control did not answer within 2 s. Trying again…')).toBeInTheDocument()
  expect(screen.getByRole('status', { name: 'Loading' })).toBeInTheDocument()
  expect(await screen.findByText('three restarts')).toBeInTheDocument()
  expect(screen.queryByText(/Trying again/)).not.toBeInTheDocument()
})

it('says what it was when all tries have failed', async () => {
  show(<Restarts queryFn={() => Promise.reject(new Error('it is away'))} />)
  expect(await screen.findByRole('alert', { name: 'Restarts cannot be shown' })).toHaveTextContent('it is away')
})
