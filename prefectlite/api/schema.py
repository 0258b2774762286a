"""The GraphQL schema. Importing this module builds it, which takes some tenths of a second."""

from __future__ import annotations

import graphene
from graphql import GraphQLSchema

from prefectlite.api.mutations import Mutation
from prefectlite.api.permissions import check_declared
from prefectlite.api.queries import Query
from prefectlite.api.subscriptions import Subscription

check_declared([*Query._meta.fields, *Subscription._meta.fields])
#: The schema that serves every request.
SCHEMA: GraphQLSchema = graphene.Schema(
    query=Query, mutation=Mutation, subscription=Subscription, auto_camelcase=False
).graphql_schema
