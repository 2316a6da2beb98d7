import { lazy } from 'react'
import { createBrowserRouter, type RouteObject } from 'react-router'
import { Shell } from './layout/Shell'
import { NotFound, PageFailed } from './pages/NotFound'

const Overview = lazy(() => import('./pages/Overview'))
const AgentManagement = lazy(() => import('./pages/AgentManagement'))
const AgentDetail = lazy(() => import('./pages/AgentDetail'))
const AgentEditor = lazy(() => import('./pages/AgentEditor'))
const SupervisorManagement = lazy(() => import('./pages/SupervisorManagement'))
const Events = lazy(() => import('./pages/Events'))
const Operations = lazy(() => import('./pages/Operations'))
const EnrollmentTokens = lazy(() => import('./pages/EnrollmentTokens'))
const Onboarding = lazy(() => import('./pages/Onboarding'))
const Settings = lazy(() => import('./pages/Settings'))

/** First parts of these paths are known to the server too (`api_gateway/ui.py`). */
export const routes: RouteObject[] = [
  {
    path: '/',
    element: <Shell />,
    errorElement: <PageFailed />,
    children: [
      { index: true, element: <Overview /> },
      {
        path: 'agents',
        element: <AgentManagement />,
        children: [{ path: ':id/:tab?', element: <AgentDetail list="/agents" /> }],
      },
      { path: 'agents/:id/edit', element: <AgentEditor /> },
      {
        path: 'supervisors',
        element: <SupervisorManagement />,
        children: [{ path: ':id/:tab?', element: <AgentDetail list="/supervisors" /> }],
      },
      { path: 'events', element: <Events /> },
      { path: 'operations/:id?', element: <Operations /> },
      { path: 'enrollment', element: <EnrollmentTokens /> },
      { path: 'onboarding', element: <Onboarding /> },
      { path: 'settings', element: <Settings /> },
      { path: '*', element: <NotFound /> },
    ],
  },
]

export const makeRouter = () => createBrowserRouter(routes)
