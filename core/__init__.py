"""What web and worker must agree on, and nothing else. Floors, lowest first:

    errors, states
    memory, queue, settings   the process, the doorbell's interface, what may be set
    blobs                     where bytes are kept
    outages, db, tables       the database, what may be wrong with it, and its tables
    leases, audit             the right to work on a row; who did what
    intake                    the door: one file or an archive, within quotas
    made, registry            what is made on demand; which models there are
    jobs                      the life of a job
    people                    who may do what
    doorbell, installation    ringing after a commit; all of it opened for one process

No page, no network, no PDF belongs here: if only one room needs it, it lives in that room.
"""
