import { MantineProvider } from '@mantine/core'
import { QueryClientProvider } from '@tanstack/react-query'
import { render } from '@testing-library/react'
import type { ReactNode } from 'react'
import { createMemoryRouter, RouterProvider } from 'react-router'
import { routes } from '../routes'
import { makeQueryClient } from '../services/queries'
import { theme, variables } from '../theme'

/** A component as it is within the pages. */
export function show(children: ReactNode) {
  const router = createMemoryRouter([{ path: '*', element: children }])
  return within(router)
}

/** The whole UI at an address. */
export function visit(path: string) {
  const router = createMemoryRouter(routes, { initialEntries: [path] })
  return { ...within(router), router }
}

function within(router: ReturnType<typeof createMemoryRouter>) {
  const client = makeQueryClient()
  client.setDefaultOptions({ queries: { ...client.getDefaultOptions().queries, retry: false } })
  return render(
    <MantineProvider theme={theme} cssVariablesResolver={variables} env="test">
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>,
  )
}
