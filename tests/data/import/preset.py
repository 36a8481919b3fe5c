# -*- coding: utf-8 -*-
import os

from nydus.db import create_cluster

DEBUG = False
ALLOWED = ['*'] + os.environ.get('ALLOWED', '').split(',')

REDIS_HOST = '10.1.0.1'

DATABASES = {
    'default': {'ENGINE': 'postgresql', 'HOST': 'db'},
}

NYDUS = {
    'feeds': {
        'engine': 'nydus.db.backends.redis.Redis',
        'router': 'nydus.db.routers.keyvalue.ConsistentHashingRouter',
        'defaults': {
            'host': REDIS_HOST,
            'password': 's3cret-of-feeds',
            'timeout': 1.5,
        },
        'hosts': {
            0: {'db': 0},
            1: {'db': 1},  # the second half
            2: {'db': 2, 'port': 6380},
        },
        'max_connection_retries': 5,
    },
    'counts': dict(
        backend='nydus.db.backends.redis.Redis',
        router='nydus.db.routers.redis.PartitionRouter',
        hosts=[
            ('10.1.0.2', 6379, 0),
            ('10.1.0.3', 6379, 0, 2),
        ],
    ),
    'pages': {
        'backend': 'nydus.db.backends.memcache.Memcache',
        'hosts': {0: {'servers': ['10.1.0.4:11211']}},
    },
}

everything = create_cluster({
    'backend': 'nydus.db.backends.redis.Redis',
    'hosts': {0: {'db': 0}},
})

from rb import Cluster, ConsistentHashingRouter

HOSTS = {0: {'port': 6379}, 1: {'port': 6380, 'password': u'it\'s "quoted"'}}
blaster = Cluster(
    hosts=HOSTS,
    host_defaults={'host': '10.1.0.5', 'password': os.environ['BLASTER']},
    router_cls=ConsistentHashingRouter,
    pool_options={'socket_timeout': 0.25, 'max_connections': 20},
)
